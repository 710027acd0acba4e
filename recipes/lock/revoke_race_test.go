package lock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// gated opens no watch before it may.
type gated struct {
	clientv3.Watcher
	asked, open chan struct{}
	once        sync.Once
}

func (g *gated) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	g.once.Do(func() { close(g.asked) })
	<-g.open
	return g.Watcher.Watch(ctx, key, opts...)
}

// TestAHolderHearsWhatWasAskedBeforeItListened: it was at the head already, and its watches were not open yet.
func TestAHolderHearsWhatWasAskedBeforeItListened(t *testing.T) {
	part := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
	c, slow := recipestest.Namespace(t, part), recipestest.Namespace(t, part)
	gate := &gated{Watcher: slow.Watcher, asked: make(chan struct{}), open: make(chan struct{})}
	slow.Watcher = gate
	first := acquire(t, open(t, c), "x")
	second := acquiring(t, open(t, slow), "x")
	<-gate.asked
	release(t, first)
	if err := lock.Revoke(t.Context(), c, "x", "early", 0, lock.By("ops")); err != nil {
		t.Fatal(err)
	}
	close(gate.open)
	held := second()
	<-held.Context().Done()
	revoked(t, context.Cause(held.Context()), "early")
}

// between does something before the first Txn.
type between struct {
	clientv3.KV
	do func()
}

func (b *between) Txn(ctx context.Context) clientv3.Txn {
	if do := b.do; do != nil {
		b.do = nil
		do()
	}
	return b.KV.Txn(ctx)
}

// TestAnOrderIsForThoseWhoHeldWhenItWasGiven: not for who has got the lock since.
func TestAnOrderIsForThoseWhoHeldWhenItWasGiven(t *testing.T) {
	part := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
	c, late := recipestest.Namespace(t, part), recipestest.Namespace(t, part)
	first := acquire(t, open(t, c), "x")
	next := acquiring(t, open(t, c), "x")
	var second *lock.Held
	late.KV = &between{late.KV, func() {
		release(t, first)
		second = next()
	}}
	if err := lock.Force(t.Context(), late, "x", "too late"); !errors.Is(err, lock.ErrNotHeld) {
		t.Errorf("Force = %v, want ErrNotHeld", err)
	}
	if _, err := second.Txn(t.Context()).Then(clientv3.OpPut("written", "")).Commit(); err != nil {
		t.Errorf("the next holder was taken for the first: %v", err)
	}
	release(t, second)
	if errors.Is(second.Err(), session.ErrLost) {
		t.Error(second.Err())
	}
}
