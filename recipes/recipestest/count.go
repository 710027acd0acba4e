package recipestest

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Requests counts what a client sends, by kind.
type Requests struct {
	Txns, Gets, Puts, Deletes, Watches, Grants, KeepAlives, Revokes atomic.Int64
}

// Total is how many requests there were in all.
func (r *Requests) Total() int64 {
	return r.Txns.Load() + r.Gets.Load() + r.Puts.Load() + r.Deletes.Load() + r.Watches.Load() +
		r.Grants.Load() + r.KeepAlives.Load() + r.Revokes.Load()
}

// Count counts what client sends from now on.
func Count(client *clientv3.Client) *Requests {
	r := &Requests{}
	client.KV = &countedKV{client.KV, r}
	client.Watcher = &countedWatcher{client.Watcher, r}
	client.Lease = &countedLease{client.Lease, r}
	return r
}

type countedKV struct {
	clientv3.KV
	r *Requests
}

func (c *countedKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	c.r.Gets.Add(1)
	return c.KV.Get(ctx, key, opts...)
}

func (c *countedKV) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	c.r.Puts.Add(1)
	return c.KV.Put(ctx, key, val, opts...)
}

func (c *countedKV) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	c.r.Deletes.Add(1)
	return c.KV.Delete(ctx, key, opts...)
}

func (c *countedKV) Txn(ctx context.Context) clientv3.Txn {
	return countedTxn{c.KV.Txn(ctx), c.r}
}

type countedTxn struct {
	clientv3.Txn
	r *Requests
}

func (t countedTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t countedTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(ops...); return t }
func (t countedTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t countedTxn) Commit() (*clientv3.TxnResponse, error) {
	t.r.Txns.Add(1)
	return t.Txn.Commit()
}

type countedWatcher struct {
	clientv3.Watcher
	r *Requests
}

func (c *countedWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	c.r.Watches.Add(1)
	return c.Watcher.Watch(ctx, key, opts...)
}

type countedLease struct {
	clientv3.Lease
	r *Requests
}

func (c *countedLease) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	c.r.Grants.Add(1)
	return c.Lease.Grant(ctx, ttl)
}

func (c *countedLease) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	c.r.KeepAlives.Add(1)
	return c.Lease.KeepAliveOnce(ctx, id)
}

func (c *countedLease) Revoke(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error) {
	c.r.Revokes.Add(1)
	return c.Lease.Revoke(ctx, id)
}
