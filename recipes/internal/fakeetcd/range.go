package fakeetcd

import (
	"bytes"
	"cmp"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// checkRev refuses a revision that was not yet, or is no more. 0 stands for now.
func (s *store) checkRev(rev, now int64) error {
	switch {
	case rev > now:
		return rpctypes.ErrGRPCFutureRev
	case rev > 0 && rev < s.compacted:
		return rpctypes.ErrGRPCCompacted
	}
	return nil
}

// find answers a read whose revision was checked. now is the revision that it sees as the last.
func (s *store) find(r *pb.RangeRequest, now int64) *pb.RangeResponse {
	rev := r.Revision
	if rev <= 0 {
		rev = now
	}
	kvs := s.read(spanOf(r.Key, r.RangeEnd), rev)
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: now}, Count: int64(len(kvs))}
	if r.CountOnly {
		return resp
	}
	if early(r) {
		kvs = kvs[:min(int64(len(kvs)), r.Limit+1)]
	}
	kvs = slices.DeleteFunc(kvs, func(kv *mvccpb.KeyValue) bool { return filtered(r, kv) })
	order(r, kvs)
	if r.Limit > 0 && int64(len(kvs)) > r.Limit {
		kvs, resp.More = kvs[:r.Limit], true
	}
	resp.Kvs = make([]*mvccpb.KeyValue, len(kvs))
	for i, kv := range kvs {
		resp.Kvs[i] = clone(kv)
		if r.KeysOnly {
			resp.Kvs[i].Value = nil
		}
		if r.KeysOnly && r.SortTarget != pb.RangeRequest_VALUE {
			resp.Kvs[i].Lease = 0 // etcd answers from its index, which doesn't have them
		}
	}
	return resp
}

func clone(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key: kv.Key, Value: kv.Value, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease,
	}
}

// early reports whether etcd limits the read before it sorts. It does so even where the order is not that of the keys, if that order was not named.
func early(r *pb.RangeRequest) bool {
	byKey := r.SortOrder == pb.RangeRequest_NONE || r.SortTarget == pb.RangeRequest_KEY && r.SortOrder == pb.RangeRequest_ASCEND
	byRev := r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
	return r.Limit > 0 && byKey && !byRev
}

func filtered(r *pb.RangeRequest, kv *mvccpb.KeyValue) bool {
	beyond := func(bound, rev int64) bool { return bound != 0 && rev > bound }
	below := func(bound, rev int64) bool { return bound != 0 && rev < bound }
	return beyond(r.MaxModRevision, kv.ModRevision) || below(r.MinModRevision, kv.ModRevision) ||
		beyond(r.MaxCreateRevision, kv.CreateRevision) || below(r.MinCreateRevision, kv.CreateRevision)
}

// order sorts as etcd does, with the same algorithm: it is not stable, and equal ones shall come out alike.
func order(r *pb.RangeRequest, kvs []*mvccpb.KeyValue) {
	less := map[pb.RangeRequest_SortTarget]func(a, b *mvccpb.KeyValue) int{
		pb.RangeRequest_KEY:     func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) },
		pb.RangeRequest_VERSION: func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.Version, b.Version) },
		pb.RangeRequest_CREATE:  func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.CreateRevision, b.CreateRevision) },
		pb.RangeRequest_MOD:     func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.ModRevision, b.ModRevision) },
		pb.RangeRequest_VALUE:   func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Value, b.Value) },
	}[r.SortTarget]
	sorter := byTarget{kvs, less}
	switch {
	case r.SortOrder == pb.RangeRequest_DESCEND:
		sort.Sort(sort.Reverse(sorter))
	case r.SortTarget != pb.RangeRequest_KEY:
		sort.Sort(sorter)
	}
}

type byTarget struct {
	kvs  []*mvccpb.KeyValue
	less func(a, b *mvccpb.KeyValue) int
}

func (s byTarget) Len() int           { return len(s.kvs) }
func (s byTarget) Swap(i, j int)      { s.kvs[i], s.kvs[j] = s.kvs[j], s.kvs[i] }
func (s byTarget) Less(i, j int) bool { return s.less(s.kvs[i], s.kvs[j]) < 0 }
