package lock_test

import (
	"context"
	"errors"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/outages"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// forgetting has etcd forget its history before each of a client's watches and reads, and after each of its writes.
type forgetting struct {
	clientv3.KV
	clientv3.Watcher
	forget func()
}

func (f *forgetting) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	f.forget()
	return f.KV.Get(ctx, key, opts...)
}

func (f *forgetting) Txn(ctx context.Context) clientv3.Txn {
	return forgettingTxn{f.KV.Txn(ctx), f.forget}
}

func (f *forgetting) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	f.forget()
	return f.Watcher.Watch(ctx, key, opts...)
}

func (f *forgetting) Close() error { return f.Watcher.Close() }

type forgettingTxn struct {
	clientv3.Txn
	forget func()
}

func (t forgettingTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t forgettingTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(ops...); return t }

func (t forgettingTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t forgettingTxn) Commit() (*clientv3.TxnResponse, error) {
	defer t.forget()
	return t.Txn.Commit()
}

// TestCompactionBetweenReadAndWatchIsNotSeen: nobody gets an error of it, and nobody loses the place in line.
func TestCompactionBetweenReadAndWatchIsNotSeen(t *testing.T) {
	t.Parallel()
	srv := recipestest.NewServer(t)
	admin := srv.Client()
	participant := func(opts ...session.Option) *session.Session {
		c := srv.Client()
		f := &forgetting{KV: c.KV, Watcher: c.Watcher, forget: func() { recipestest.Compact(t, admin) }}
		c.KV, c.Watcher = f, f
		return open(t, c, opts...)
	}
	held := acquire(t, participant(), "x")
	first := acquiring(t, participant(), "x")
	waiters(t, admin, "x", 1)
	crashes := make(chan error, 1)
	crashing, quitting := participant(session.NoRejoin()), participant()
	go func() { _, err := lock.Acquire(t.Context(), crashing, "x"); crashes <- err }()
	waiters(t, admin, "x", 2)
	givesUp := outages.InBackground(t, func(ctx context.Context) error { _, err := lock.Acquire(ctx, quitting, "x"); return err })

	waiters(t, admin, "x", 3)
	last := acquiring(t, participant(), "x")
	waiters(t, admin, "x", 4)

	st, err := lock.Inspect(t.Context(), admin, "x")
	if err != nil {
		t.Fatal(err)
	}
	recipestest.RevokeLeaseOf(t, admin, "/stile/v1/lock/x/e/"+st.Waiters[1].ID)
	if err := <-crashes; !errors.Is(err, session.ErrLost) {
		t.Errorf("the waiter that crashed: %v", err)
	}
	if err := givesUp(); !errors.Is(err, context.Canceled) {
		t.Errorf("the waiter that gave up: %v", err)
	}
	release(t, held)
	second := first()
	if second.Token() != st.Waiters[0].Token {
		t.Errorf("the first waiter got the lock with token %v, want that of its place in line, %v", second.Token(), st.Waiters[0].Token)
	}
	release(t, second)
	third := last()
	if third.Token() != st.Waiters[3].Token {
		t.Errorf("the last waiter got the lock with token %v, want that of its place in line, %v", third.Token(), st.Waiters[3].Token)
	}
	release(t, third)
}
