package lock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

func revoked(t *testing.T, err error, reason string) {
	t.Helper()
	var r *session.RevokedError
	if !errors.As(err, &r) || r.Reason != reason || r.By != "ops" || r.At.IsZero() {
		t.Errorf("got %v, want a RevokedError by ops: %s", err, reason)
	}
}

func TestAHolderThatIsAskedFinishesWithinTheGrace(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	next := acquiring(t, s, "x")
	if err := lock.Revoke(t.Context(), c, "x", "a drill", time.Hour, lock.By("ops")); err != nil {
		t.Fatal(err)
	}
	<-held.Revoking()
	if r := held.Revocation(); r == nil || r.Reason != "a drill" || time.Duration(r.Grace) != time.Hour {
		t.Errorf("Revocation = %+v", r)
	}
	st, err := lock.Inspect(t.Context(), c, "x")
	if err != nil || st.Holder == nil || st.Holder.Revoking == nil || st.Holder.Revoking.Reason != "a drill" {
		t.Errorf("Inspect = %+v, %v", st, err)
	}
	if held.Err() != nil {
		t.Errorf("within the grace it is held: %v", held.Err())
	}
	release(t, held) // nil: it has left in order
	release(t, next())
	left, err := c.Get(t.Context(), "/stile/v1/lock/x/", clientv3.WithPrefix())
	if err != nil || len(left.Kvs) != 1 || !strings.HasSuffix(string(left.Kvs[0].Key), "/revoked") {
		t.Errorf("left: %v, %v; want the record alone", left.Kvs, err)
	}
}

func TestAtTheEndOfTheGraceTheLockIsGivenBack(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	next := acquiring(t, s, "x")
	if err := lock.Revoke(t.Context(), c, "x", "too long", time.Millisecond, lock.By("ops")); err != nil {
		t.Fatal(err)
	}
	<-held.Context().Done()
	revoked(t, context.Cause(held.Context()), "too long")
	if !errors.Is(held.Err(), session.ErrLost) {
		t.Errorf("Err = %v, want ErrLost", held.Err())
	}
	second := next() // nobody releases, and the session lives
	revoked(t, held.Release(t.Context()), "too long")
	release(t, second)
}

func TestRevokedWorkIsJoinedBeforeTheLockIsGivenBack(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	over := false
	started := make(chan struct{})
	result := make(chan error)
	go func() {
		result <- lock.Do(t.Context(), s, "x", func(ctx context.Context) error {
			close(started)
			<-session.Revoking(ctx)
			<-ctx.Done()
			over = true
			return nil
		})
	}()
	<-started
	next := acquiring(t, s, "x")
	if err := lock.Revoke(t.Context(), c, "x", "now", 0, lock.By("ops")); err != nil {
		t.Fatal(err)
	}
	held := next()
	if !over {
		t.Error("the next one holds while the work goes on")
	}
	release(t, held)
	revoked(t, <-result, "now")
}

func TestForceTakesTheLockFromWhoeverDoesNotHear(t *testing.T) {
	part := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
	c, deaf := recipestest.Namespace(t, part), recipestest.Namespace(t, part)
	deaf.Watcher = silent{deaf.Watcher}
	held := acquire(t, open(t, deaf), "x")
	next := acquiring(t, open(t, c), "x")
	if err := lock.Force(t.Context(), c, "x", "stuck", lock.By("ops")); err != nil {
		t.Fatal(err)
	}
	second := next()
	if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("written", "")).Commit(); !errors.Is(err, session.ErrLost) {
		t.Errorf("Txn of the old holder = %v, want ErrLost", err)
	}
	release(t, second)
	st, err := lock.Inspect(t.Context(), c, "x")
	if err != nil || st.Holder != nil || len(st.Revoked) != 1 || st.Revoked[0].Act != "force" || st.Revoked[0].Reason != "stuck" {
		t.Errorf("Inspect = %+v, %v", st, err)
	}
}

// silent opens no watch.
type silent struct{ clientv3.Watcher }

func (silent) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	c := make(chan clientv3.WatchResponse)
	context.AfterFunc(ctx, func() { close(c) })
	return c
}

func TestForceTellsWhy(t *testing.T) {
	c := recipestest.Client(t)
	held := acquire(t, open(t, c), "x")
	if err := lock.Revoke(t.Context(), c, "x", "in time", time.Hour); err != nil {
		t.Fatal(err)
	}
	<-held.Revoking() // it listens
	if err := lock.Force(t.Context(), c, "x", "stuck", lock.ID("nobody")); !errors.Is(err, lock.ErrNotHeld) {
		t.Errorf("Force of somebody else = %v, want ErrNotHeld", err)
	}
	if err := lock.Force(t.Context(), c, "x", "stuck", lock.By("ops")); err != nil {
		t.Fatal(err)
	}
	<-held.Context().Done()
	revoked(t, context.Cause(held.Context()), "stuck")
}

func TestAWaiterThatIsRemovedNeverHolds(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	result := make(chan error)
	go func() {
		_, err := lock.Acquire(t.Context(), s, "x")
		result <- err
	}()
	waiters(t, c, "x", 1)
	last := acquiring(t, s, "x")
	waiters(t, c, "x", 2)
	st, err := lock.Inspect(t.Context(), c, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Remove(t.Context(), c, "x", st.Holder.ID, "no"); !errors.Is(err, lock.ErrNotWaiting) {
		t.Errorf("Remove of the holder = %v, want ErrNotWaiting", err)
	}
	if err := lock.Remove(t.Context(), c, "x", st.Waiters[0].ID, "wrong queue", lock.By("ops")); err != nil {
		t.Fatal(err)
	}
	out := <-result
	revoked(t, out, "wrong queue")
	if !errors.Is(out, lock.ErrRemoved) || errors.Is(out, session.ErrLost) {
		t.Errorf("got %v, want ErrRemoved, and not ErrLost", out)
	}
	release(t, held)
	release(t, last())
}

func TestOrdersAreChecked(t *testing.T) {
	c := recipestest.Client(t)
	requests := recipestest.Count(c)
	for what, err := range map[string]error{
		"no reason":      lock.Revoke(t.Context(), c, "x", "", 0),
		"a long one":     lock.Force(t.Context(), c, "x", strings.Repeat("x", 1025)),
		"not text":       lock.Force(t.Context(), c, "x", "a\x00"),
		"a bad name":     lock.Force(t.Context(), c, "", "why"),
		"negative grace": lock.Revoke(t.Context(), c, "x", "why", -1),
		"nobody":         lock.Revoke(t.Context(), c, "x", "why", 0, lock.By("")),
		"no client":      lock.Remove(t.Context(), nil, "x", "id", "why"),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	if n := requests.Total(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if err := lock.Revoke(t.Context(), c, "x", "why", 0); !errors.Is(err, lock.ErrNotHeld) {
		t.Errorf("Revoke of a free lock = %v, want ErrNotHeld", err)
	}
}

// TestOrdersAreKeptBounded: who, when and why stays beside the lock, the last 16 times.
func TestOrdersAreKeptBounded(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	for range 18 {
		held := acquire(t, s, "x")
		if err := lock.Force(t.Context(), c, "x", "again", lock.By("ops")); err != nil {
			t.Fatal(err)
		}
		_ = held.Release(t.Context())
	}
	st, err := lock.Inspect(t.Context(), c, "x")
	if err != nil || len(st.Revoked) != 16 {
		t.Errorf("%d are kept, %v; want 16", len(st.Revoked), err)
	}
}
