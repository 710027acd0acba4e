package keep

import (
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fakeKV answers reads within a Txn: each key has the mod revision that the test gave it.
type fakeKV struct {
	clientv3.KV
	mu    sync.Mutex
	mods  map[string]int64
	txns  int
	limit int // operations that a Txn may have
}

// withKeys gives the bench a client whose etcd has these keys.
func (b *bench) withKeys(mods map[string]int64) *fakeKV {
	kv := &fakeKV{mods: mods, limit: 128}
	b.client = &clientv3.Client{KV: kv, Lease: clientv3.Lease(nil), Watcher: deafWatcher{}}
	b.client.Lease = struct{ clientv3.Lease }{}
	return kv
}

func (f *fakeKV) set(key string, mod int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mods[key] = mod
}

func (f *fakeKV) sent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.txns
}

func (f *fakeKV) Txn(context.Context) clientv3.Txn { return &fakeTxn{kv: f} }

type fakeTxn struct {
	kv  *fakeKV
	ops []clientv3.Op
}

func (t *fakeTxn) If(...clientv3.Cmp) clientv3.Txn      { return t }
func (t *fakeTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.ops = ops; return t }
func (t *fakeTxn) Else(...clientv3.Op) clientv3.Txn     { return t }

func (t *fakeTxn) Commit() (*clientv3.TxnResponse, error) {
	t.kv.mu.Lock()
	defer t.kv.mu.Unlock()
	t.kv.txns++
	if len(t.ops) > t.kv.limit {
		return nil, rpctypes.ErrTooManyOps
	}
	resp := &clientv3.TxnResponse{Succeeded: true}
	for _, op := range t.ops {
		r := &pb.RangeResponse{}
		if mod := t.kv.mods[string(op.KeyBytes())]; mod > 0 {
			r.Kvs = []*mvccpb.KeyValue{{Key: op.KeyBytes(), ModRevision: mod, CreateRevision: 1}}
		}
		resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: r}})
	}
	return resp, nil
}

// deafWatcher never opens a watch.
type deafWatcher struct{ clientv3.Watcher }

func (deafWatcher) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	c := make(chan clientv3.WatchResponse)
	context.AfterFunc(ctx, func() { close(c) })
	return c
}

func (b *bench) holdKey(l *Lease, key string, rev int64) *Hold {
	b.Helper()
	h, err := l.Hold(context.Background(), context.Background(), Spec{
		What: "it", Keys: []Key{{key, rev}}, Give: func(context.Context) error { return nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	return h
}
