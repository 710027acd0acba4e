package fakeetcd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"
)

func (s *side) answer(resp clientv3.OpResponse, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case resp.Put() != nil:
		return s.put((*pb.PutResponse)(resp.Put()))
	case resp.Get() != nil:
		return s.got((*pb.RangeResponse)(resp.Get()))
	case resp.Del() != nil:
		return s.deleted((*pb.DeleteRangeResponse)(resp.Del()))
	}
	return "no answer"
}

func (s *side) put(r *pb.PutResponse) string {
	return fmt.Sprintf("at %d: put, before: %s", s.rel(r.Header.Revision), s.kv(r.PrevKv))
}

func (s *side) got(r *pb.RangeResponse) string {
	return fmt.Sprintf("at %d: %d, more %v:%s", s.rel(r.Header.Revision), r.Count, r.More, s.kvs(r.Kvs))
}

func (s *side) deleted(r *pb.DeleteRangeResponse) string {
	return fmt.Sprintf("at %d: deleted %d:%s", s.rel(r.Header.Revision), r.Deleted, s.kvs(r.PrevKvs))
}

func (s *side) txn(r *pb.TxnResponse) string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %d: %v (", s.rel(r.Header.GetRevision()), r.Succeeded)
	for _, r := range r.Responses {
		switch {
		case r.GetResponsePut() != nil:
			b.WriteString(s.put(r.GetResponsePut()))
		case r.GetResponseRange() != nil:
			b.WriteString(s.got(r.GetResponseRange()))
		case r.GetResponseDeleteRange() != nil:
			b.WriteString(s.deleted(r.GetResponseDeleteRange()))
		case r.GetResponseTxn() != nil:
			b.WriteString(s.txn(r.GetResponseTxn()))
		}
		b.WriteString("; ")
	}
	return b.String() + ")"
}

// compacting is rare: after it little can be asked.
func drawCompact(t *rapid.T, p *pair) func(s *side) string {
	if !oneOf(t, "really", 5) {
		return func(*side) string { return "not now" }
	}
	rev := rapid.Int64Range(max(2, p.rev-8), p.rev+1).Draw(t, "rev")
	return func(s *side) string {
		if err := s.settle(); err != nil {
			return err.Error()
		}
		resp, err := s.client.Compact(context.Background(), s.base+rev)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("at %d", s.rel(resp.Header.Revision))
	}
}

func drawGrant(t *rapid.T, _ *pair) func(s *side) string {
	ttl := rapid.SampledFrom([]int64{0, 1, 60, 300, mostTTL + 1}).Draw(t, "ttl")
	if ttl < 60 && oneOf(t, "long enough", 2) {
		ttl = 61 // short ones may end before the sequence does
	}
	return func(s *side) string {
		resp, err := s.client.Grant(context.Background(), ttl)
		if err != nil {
			return err.Error()
		}
		if ttl < 60 { // to be gone before it runs out
			_, err := s.client.Revoke(context.Background(), resp.ID)
			return fmt.Sprintf("granted %d, revoked: %v", resp.TTL, err)
		}
		s.leases = append(s.leases, resp.ID)
		return fmt.Sprintf("granted %d at %d", resp.TTL, s.rel(resp.Revision))
	}
}

func drawRevoke(t *rapid.T, p *pair) func(s *side) string {
	lease := drawLease(t, p)
	return func(s *side) string {
		resp, err := s.client.Revoke(context.Background(), lease(s))
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("revoked at %d", s.rel(resp.Header.Revision))
	}
}

func drawRenew(t *rapid.T, p *pair) func(s *side) string {
	lease := drawLease(t, p)
	return func(s *side) string {
		resp, err := s.client.KeepAliveOnce(context.Background(), lease(s))
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s for %d at %d", s.lease(int64(resp.ID)), resp.TTL, s.rel(resp.Revision))
	}
}

func drawTimeToLive(t *rapid.T, p *pair) func(s *side) string {
	lease := drawLease(t, p)
	return func(s *side) string {
		resp, err := s.client.TimeToLive(context.Background(), lease(s), clientv3.WithAttachedKeys())
		if err != nil {
			return err.Error()
		}
		var keys []string
		for _, key := range resp.Keys {
			keys = append(keys, string(key))
		}
		slices.Sort(keys)
		return fmt.Sprintf("%s of %d, alive %v, keys %q", s.lease(int64(resp.ID)), resp.GrantedTTL, resp.TTL > 0, keys)
	}
}

// drawWatch opens a watch that sees the last key as well, and waits until it is open.
func drawWatch(t *rapid.T, p *pair) func(s *side) string {
	key, opts := drawKey(t), []clientv3.OpOption{clientv3.WithCreatedNotify(), clientv3.WithFromKey()}
	var start int64
	if rapid.Bool().Draw(t, "from a revision") {
		start = drawRev(t, p)
	}
	if rapid.Bool().Draw(t, "prev") {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if oneOf(t, "no deletes", 4) {
		opts = append(opts, clientv3.WithFilterDelete())
	}
	return func(s *side) string {
		ctx, cancel := context.WithCancel(context.Background())
		all := opts
		if start > 0 {
			all = slices.Concat(opts, []clientv3.OpOption{clientv3.WithRev(s.base + start)})
		}
		w := &tap{c: s.client.Watch(ctx, key, all...), cancel: cancel}
		resp := <-w.c
		s.watches = append(s.watches, w)
		return fmt.Sprintf("created %v, %v, at %d", resp.Created, resp.Err(), s.rel(resp.Header.Revision))
	}
}

// drawCancel compares what a watch has told so far by cancelling it after a key that it is sure to see.
func drawCancel(t *rapid.T, p *pair) func(s *side) string {
	if len(p.sides[0].watches) == 0 {
		return func(*side) string { return "there is none" }
	}
	n := rapid.IntRange(0, len(p.sides[0].watches)-1).Draw(t, "which")
	return func(s *side) string {
		if err := s.mark(); err != nil {
			return err.Error()
		}
		w := s.watches[n]
		s.watches = slices.Delete(slices.Clone(s.watches), n, n+1)
		defer w.cancel()
		return s.collect(w)
	}
}

// drawProgress asks how far the watches are, when all are as far as etcd.
func drawProgress(t *rapid.T, p *pair) func(s *side) string {
	key := drawKey(t)
	return func(s *side) string {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ctx = clientv3.WithRequireLeader(ctx) // a stream of its own
		c := s.client.Watch(ctx, key, clientv3.WithCreatedNotify())
		<-c
		if err := s.client.RequestProgress(ctx); err != nil {
			return err.Error()
		}
		select {
		case resp := <-c:
			return fmt.Sprintf("progress %v at %d, %d events", resp.IsProgressNotify(), s.rel(resp.Header.Revision), len(resp.Events))
		case <-time.After(patience):
			return "nothing comes"
		}
	}
}

// settle waits until every watch is as far as etcd: when one that is behind is served is etcd's own affair, and a compaction may come before.
func (s *side) settle() error {
	if len(s.watches) == 0 {
		return nil
	}
	if err := s.mark(); err != nil {
		return err
	}
	for _, w := range s.watches {
		w.seen = s.collect(w) + "\n"
	}
	return nil
}

// mark writes a key that every watch sees, even one that begins at a revision to come.
func (s *side) mark() error {
	s.marked++
	for range marks {
		if _, err := s.client.Put(context.Background(), "zz", fmt.Sprint(s.marked)); err != nil {
			return err
		}
	}
	return nil
}
