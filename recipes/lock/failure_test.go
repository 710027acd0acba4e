package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// within fails the test if f takes ten times as long as was promised.
func within(t *testing.T, promised time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > 10*promised {
		t.Errorf("%s took %v, promised are %v", what, took, promised)
	}
}

// lost waits for the end of a hold.
func lost(t *testing.T, held *lock.Held) {
	t.Helper()
	within(t, time.Second, "noticing the loss", func() { <-held.Context().Done() })
	if cause := context.Cause(held.Context()); !errors.Is(cause, session.ErrLost) {
		t.Errorf("cause %v, want ErrLost", cause)
	}
	if err := held.Err(); !errors.Is(err, session.ErrLost) {
		t.Errorf("Err() = %v, want ErrLost", err)
	}
}

func TestAHoldWhoseKeyIsTakenEnds(t *testing.T) {
	for _, when := range []string{"at once", "later"} {
		for _, how := range []string{"deleted", "rewritten"} {
			t.Run(how+" "+when, func(t *testing.T) {
				c := recipestest.Client(t)
				requests := recipestest.Count(c)
				s := open(t, c)
				held := acquire(t, s, "x")
				if when == "later" {
					eventually(t, "the look at the own key", func() bool { return requests.Txns.Load() == 2 })
				}
				take := clientv3.OpDelete(held.Claims()[0].Key)
				if how == "rewritten" {
					take = clientv3.OpPut(held.Claims()[0].Key, "", clientv3.WithIgnoreLease())
				}
				if _, err := c.Do(t.Context(), take); err != nil {
					t.Fatal(err)
				}
				lost(t, held)
				if err := held.Release(t.Context()); !errors.Is(err, session.ErrLost) {
					t.Errorf("Release = %v, want ErrLost", err)
				}
			})
		}
	}
}

func TestALateReleaseTouchesNobodyElse(t *testing.T) {
	c := recipestest.Client(t)
	a, b := open(t, c), open(t, c)
	held := acquire(t, a, "x")
	if _, err := c.Delete(t.Context(), held.Claims()[0].Key); err != nil {
		t.Fatal(err)
	}
	next := acquire(t, b, "x")
	if err := held.Release(t.Context()); !errors.Is(err, session.ErrLost) {
		t.Errorf("Release = %v, want ErrLost", err)
	}
	if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("k", "stale")).Commit(); err == nil {
		t.Error("the old holder's Txn was committed")
	}
	if _, err := next.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
		t.Errorf("the new holder's Txn: %v", err)
	}
	release(t, next)
}

func leaseOf(t *testing.T, c *clientv3.Client, key string) clientv3.LeaseID {
	t.Helper()
	resp, err := c.Get(t.Context(), key)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("no key %q: %v", key, err)
	}
	return clientv3.LeaseID(resp.Kvs[0].Lease)
}

func TestASessionOutlivesItsLease(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	if _, err := c.Revoke(t.Context(), leaseOf(t, c, held.Claims()[0].Key)); err != nil {
		t.Fatal(err)
	}
	lost(t, held)
	next := acquire(t, s, "x")
	if next.Token().Compare(held.Token()) <= 0 || held.Err() == nil {
		t.Errorf("the old hold (%v, %v) came back with the new lease", held.Token(), held.Err())
	}
	release(t, next)
}

// waitingEntry is the key of the first waiter of lock x.
func waitingEntry(t *testing.T, c *clientv3.Client) string {
	t.Helper()
	waiters(t, c, "x", 1)
	st, err := lock.Inspect(t.Context(), c, "x")
	if err != nil {
		t.Fatal(err)
	}
	return "/stile/v1/lock/x/e/" + st.Waiters[0].ID
}

func TestAWaiterWhoseLeaseIsLost(t *testing.T) {
	for _, rejoins := range []bool{true, false} {
		c := recipestest.Client(t)
		var opts []session.Option
		if !rejoins {
			opts = append(opts, session.NoRejoin())
		}
		holder, s := open(t, c), open(t, c, opts...)
		held := acquire(t, holder, "x")
		got := make(chan error, 1)
		go func() {
			next, err := lock.Acquire(t.Context(), s, "x")
			if err == nil {
				err = next.Release(t.Context())
			}
			got <- err
		}()
		first := waitingEntry(t, c)
		if _, err := c.Revoke(t.Context(), leaseOf(t, c, first)); err != nil {
			t.Fatal(err)
		}
		if !rejoins {
			if err := <-got; !errors.Is(err, session.ErrLost) {
				t.Errorf("without rejoining: %v, want ErrLost", err)
			}
			release(t, held)
			continue
		}
		eventually(t, "the waiter stands in line again", func() bool { return waitingEntry(t, c) != first })
		release(t, held)
		if err := <-got; err != nil {
			t.Errorf("the waiter that stood in line again: %v", err)
		}
	}
}

func TestARemovedWaiterIsTold(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	got := make(chan error, 1)
	go func() { _, err := lock.Acquire(t.Context(), s, "x"); got <- err }()
	if _, err := c.Put(t.Context(), waitingEntry(t, c), `{"state":"removed"}`); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, lock.ErrRemoved) {
		t.Errorf("Acquire = %v, want ErrRemoved", err)
	}
	release(t, held)
}

func TestCloseHandsOver(t *testing.T) {
	c := recipestest.Client(t)
	a, b := open(t, c), open(t, c)
	held := acquire(t, a, "x")
	next := acquiring(t, b, "x")
	waiters(t, c, "x", 1)
	stopped := make(chan error, 1)
	go func() { _, err := lock.Acquire(t.Context(), a, "x"); stopped <- err }()
	waiters(t, c, "x", 2)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if cause := context.Cause(held.Context()); !errors.Is(cause, session.ErrClosed) {
		t.Errorf("cause %v, want ErrClosed", cause)
	}
	if err := <-stopped; !errors.Is(err, session.ErrClosed) {
		t.Errorf("a waiter of the closed session: %v, want ErrClosed", err)
	}
	successor := next()
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("Release after Close = %v, want nil: Close has done it", err)
	}
	release(t, successor)
	if left := keysOf(t, c); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestARestartOfEtcd: leases survive it, and so do holders and waiters.
func TestARestartOfEtcd(t *testing.T) {
	srv := recipestest.NewServer(t)
	c := srv.Client()
	a, b := open(t, c), open(t, c)
	held := acquire(t, a, "x")
	next := acquiring(t, b, "x")
	waiters(t, c, "x", 1)
	srv.Stop()
	srv.Start()
	if err := held.Err(); err != nil {
		t.Fatalf("the hold did not survive the restart: %v", err)
	}
	if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
		t.Fatalf("Txn after the restart: %v", err)
	}
	release(t, held)
	release(t, next())
}

// TestReleasingWhenEtcdIsFull: etcd refuses every Txn with a Put then, and passing on has one.
func TestReleasingWhenEtcdIsFull(t *testing.T) {
	srv := recipestest.NewServer(t, recipestest.Quota(4<<20))
	c := srv.Client()
	a, b := open(t, c), open(t, c)
	held := acquire(t, a, "x")
	next := acquiring(t, b, "x")
	waiters(t, c, "x", 1)
	ctx, cancel := context.WithCancel(t.Context())
	quit := make(chan error, 1)
	go func() { _, err := lock.Acquire(ctx, b, "x"); quit <- err }()
	waiters(t, c, "x", 2)
	srv.Fill()
	cancel()
	if err := <-quit; !errors.Is(err, context.Canceled) {
		t.Errorf("giving up: %v, want context.Canceled", err)
	}
	waiters(t, c, "x", 1)
	release(t, held)
	release(t, next())
	if _, err := lock.Acquire(t.Context(), a, "x"); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("Acquire = %v, want ErrNoSpace", err)
	}
	if st, err := lock.Inspect(t.Context(), c, "x"); err != nil || st.Holder != nil {
		t.Errorf("not free: %+v, %v", st, err)
	}
}

// TestTenantsOfOneEtcdDoNotMeet: the names are the same, the etcd as each sees it is not.
func TestTenantsOfOneEtcdDoNotMeet(t *testing.T) {
	a, b := open(t, recipestest.Client(t)), open(t, recipestest.Client(t))
	err := lock.Do(t.Context(), a, "x", func(ctx context.Context) error {
		return lock.Do(ctx, b, "x", func(context.Context) error { return nil })
	})
	if err != nil {
		t.Errorf("the same name on another etcd, inside: %v", err)
	}
}

func TestWorkDoesNotRunWithoutTheLock(t *testing.T) {
	s := open(t, recipestest.Client(t))
	ran := 0
	err := lock.TryDo(t.Context(), s, "x", func(context.Context) error {
		ran++
		err := lock.TryDo(t.Context(), s, "x", func(context.Context) error { ran++; return nil })
		if !errors.Is(err, lock.ErrHeld) {
			t.Errorf("TryDo of a held lock = %v, want ErrHeld", err)
		}
		return nil
	})
	if err != nil || ran != 1 {
		t.Errorf("TryDo = %v, and work ran %d times, want once", err, ran)
	}
}
