package durable

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// store is the record in etcd.
type store struct {
	client *clientv3.Client
	names  Names
}

// timeout bounds each request: below the server's own timeout (5 s and two elections), so that etcd's client does not send a write again.
const timeout = 5 * time.Second

var errClosed = retry.Settled(errors.New("the etcd client is closed"))

// limit is the ctx of one request. A member without a leader refuses it at once.
func (s *store) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(clientv3.WithRequireLeader(ctx), timeout, retry.NoAnswer(timeout))
}

func (s *store) usable() error {
	if ctx := s.client.Ctx(); ctx != nil && ctx.Err() != nil {
		return errClosed
	}
	return nil
}

// read is what etcd has now.
func (s *store) read(ctx context.Context) (*Seen, error) {
	kv, err := s.get(ctx, s.names.Key)
	if err != nil || kv != nil {
		if err != nil {
			return nil, err
		}
		return read(kv)
	}
	kv, err = s.get(ctx, s.names.Leased)
	if err != nil {
		return nil, err
	}
	return &Seen{leased: kv != nil}, nil
}

func (s *store) get(ctx context.Context, key string) (*mvccpb.KeyValue, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := s.client.Get(ctx, key)
	if err != nil {
		return nil, retry.Answer(ctx, err)
	}
	if len(resp.Kvs) == 0 {
		return nil, nil //nolint:nilnil // absence is no error here
	}
	return resp.Kvs[0], nil
}

// swap writes next if what is there is still base, and tells at which revision. Conditions and operations are r's, and so is the rule that there is no
// leased semaphore. With errConflict it tells what is there instead. An error that is not retry.NotApplied leaves open whether it was, or
// still will be, applied: as long as the record is base.
func (s *store) swap(ctx context.Context, base *Seen, next *Record, r *Request) (rev int64, now *Seen, err error) {
	if err := s.usable(); err != nil {
		return 0, nil, err
	}
	ifs := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.names.Key), "=", base.Rev)}
	els := []clientv3.Op{clientv3.OpGet(s.names.Key)}
	if r.limits {
		ifs = append(ifs, clientv3.Compare(clientv3.CreateRevision(s.names.Leased), "=", 0))
		els = append(els, clientv3.OpGet(s.names.Leased))
	}
	then := append([]clientv3.Op{clientv3.OpPut(s.names.Key, next.encode(wallClock()))}, r.Ops...)
	if len(r.Cmps) > 0 { // one level deeper, so that theirs and ours can be told apart
		then = []clientv3.Op{clientv3.OpTxn(r.Cmps, then, nil)}
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := s.client.Txn(ctx).If(ifs...).Then(then...).Else(els...).Commit()
	switch {
	case err != nil:
		return 0, nil, retry.Answer(ctx, err)
	case !resp.Succeeded && r.limits && len(resp.Responses[1].GetResponseRange().Kvs) > 0:
		return 0, nil, retry.Settled(s.names.ErrLeased)
	case !resp.Succeeded:
		return 0, s.conflict(resp), errConflict
	case len(r.Cmps) > 0 && !resp.Responses[0].GetResponseTxn().Succeeded:
		return 0, nil, retry.Settled(ErrCondition)
	}
	return resp.Header.Revision, nil, nil
}

// conflict is what is there instead; without a record when that can't be read, for then the next read says why.
func (s *store) conflict(resp *clientv3.TxnResponse) *Seen {
	var kv *mvccpb.KeyValue
	if got := resp.Responses[0].GetResponseRange(); len(got.Kvs) > 0 {
		kv = got.Kvs[0]
	}
	now, err := read(kv)
	if err != nil {
		return &Seen{}
	}
	return now
}
