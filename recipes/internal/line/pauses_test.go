package line

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// brokenWatcher tells of each watch on the places.
type brokenWatcher struct {
	clientv3.Watcher
	faults *faultyKV
	opened chan opening
}

// opening is a watch that is being opened.
type opening struct {
	end    context.CancelFunc
	looked <-chan struct{} // closed when it is open, and the places were read
}

func (w *brokenWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if key == prefix+places {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		w.opened <- opening{end, w.faults.passed()}
	}
	return w.Watcher.Watch(ctx, key, opts...)
}

// TestTheHeadLooksAgainSoon: however often its watch has ended before, the pauses don't grow.
func TestTheHeadLooksAgainSoon(t *testing.T) {
	a := newParty(t).placed()
	w := &brokenWatcher{a.client.Watcher, a.faults, make(chan opening, 1)}
	a.client.Watcher = w
	holder := a.get()
	waits := a.waits(1)
	watch := <-w.opened
	for n := range 10 { // pauses that grow are longer than a second from the seventh on
		<-watch.looked
		watch.end()
		select {
		case watch = <-w.opened:
		case <-time.After(10 * lookAgainWithin):
			t.Fatalf("%v after its watch had ended the %d. time it has not looked again", 10*lookAgainWithin, n+1)
		}
	}
	a.gives(holder)
	a.gives(<-waits)
	a.empty()
}

// refusingKV refuses reads of places, as when somebody takes away the right to read them.
type refusingKV struct {
	clientv3.KV
	refuse atomic.Bool
}

func (kv *refusingKV) Txn(ctx context.Context) clientv3.Txn {
	return &refusedTxn{kv.KV.Txn(ctx), kv, false}
}

type refusedTxn struct {
	clientv3.Txn
	kv    *refusingKV
	looks bool
}

func (t *refusedTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t *refusedTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *refusedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, op := range ops {
		t.looks = t.looks || op.IsGet() && string(op.KeyBytes()) == prefix+places
	}
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *refusedTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.looks && t.kv.refuse.Load() {
		return nil, rpctypes.ErrPermissionDenied
	}
	return t.Txn.Commit()
}

// TestWhoMayNotLookDoesNotSayThatItHasLeft: its entry is gone, and it may have been given its place.
func TestWhoMayNotLookDoesNotSayThatItHasLeft(t *testing.T) {
	a := newParty(t).placed()
	kv := &refusingKV{KV: a.client.KV}
	a.client.KV = kv
	e := a.appointed()
	left := make(chan struct{})
	e.Leaving(sync.OnceFunc(func() { close(left) }))
	kv.refuse.Store(true)
	e.Abandon()
	select {
	case <-left:
		t.Error("it says that it has left")
	default:
	}
	kv.refuse.Store(false)
	a.empty()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("it has left, and doesn't say so")
	}
}
