package keep

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// requestTimeout bounds each request. It stays below the server's own timeout (5 s and two elections), since
// etcd's client sends a mutation again by itself when the server says that it timed out.
const requestTimeout = 5 * time.Second

var (
	errNotWired     = retry.Settled(errors.New("the etcd client is not connected to anything (was its server started?)"))
	errClientClosed = retry.Settled(errors.New("the etcd client is closed"))
	errNoAnswer     = retry.NoAnswer(requestTimeout)
)

// Bound is the ctx that a wait hangs on. It ends with the caller's ctx, with the lease (if there is one), and when the
// session is closed, with the cause of whichever came first. It carries no values of the caller's: etcd's client
// sends some of them to the server, and opens a watch stream for each distinct set.
func (k *Keeper) Bound(ctx context.Context, lease *Lease) (context.Context, context.CancelFunc) {
	b, cancel := context.WithCancelCause(k.alive)
	stops := []func() bool{
		context.AfterFunc(ctx, func() { cancel(retry.Why(ctx)) }),
		follow(k.open, cancel),
	}
	if lease != nil {
		stops = append(stops, follow(lease.ctx, cancel))
	}
	return b, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}

func follow(ctx context.Context, cancel context.CancelCauseFunc) (stop func() bool) {
	return context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
}

// Cleanup is the ctx for giving something back. It goes on when ctx has ended, for the cleanup timeout at most.
func (k *Keeper) Cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	c, cancel := context.WithCancelCause(k.alive)
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(k.cfg.Cleanup, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(c, func() { t.Stop() })
	})
	return c, func() {
		stop()
		cancel(nil)
	}
}

// request bounds one request. A member without a leader refuses it at once rather than have it wait.
func (k *Keeper) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(clientv3.WithRequireLeader(ctx), requestTimeout, errNoAnswer)
}

// KV is the client's, or says why it can't be used.
func (k *Keeper) KV() (clientv3.KV, error) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	return k.client.KV, nil
}

func (k *Keeper) usable() error {
	c := k.client
	if c == nil || c.KV == nil || c.Lease == nil || c.Watcher == nil {
		return errNotWired
	}
	if ctx := c.Ctx(); ctx != nil && ctx.Err() != nil {
		return errClientClosed
	}
	return nil
}

// Txn sends one transaction, once. ctx is one of Bound, Cleanup or Go.
func (k *Keeper) Txn(ctx context.Context, ifs []clientv3.Cmp, then, els []clientv3.Op) (*clientv3.TxnResponse, error) {
	kv, err := k.KV()
	if err != nil {
		return nil, err
	}
	ctx, cancel := k.request(ctx)
	defer cancel()
	resp, err := kv.Txn(ctx).If(ifs...).Then(then...).Else(els...).Commit()
	if err != nil {
		return nil, retry.Answer(ctx, err)
	}
	return resp, nil
}

// Get reads, linearizably unless op says otherwise.
func (k *Keeper) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	kv, err := k.KV()
	if err != nil {
		return nil, err
	}
	ctx, cancel := k.request(ctx)
	defer cancel()
	resp, err := kv.Get(ctx, key, opts...)
	if err != nil {
		return nil, retry.Answer(ctx, err)
	}
	return resp, nil
}

// GetOne reads one key; it is nil if the key doesn't exist.
func (k *Keeper) GetOne(ctx context.Context, key string, opts ...clientv3.OpOption) (*mvccpb.KeyValue, error) {
	resp, err := k.Get(ctx, key, opts...)
	if err != nil || len(resp.Kvs) == 0 {
		return nil, err
	}
	return resp.Kvs[0], nil
}
