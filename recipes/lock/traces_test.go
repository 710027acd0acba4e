package lock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// pair is a client whose answers and connections a test breaks, and one of the same keys that nothing happens to.
func pair(t *testing.T, opts ...recipestest.ClientOption) (client, other *clientv3.Client) {
	t.Helper()
	prefix := fmt.Sprintf("%s %d/", t.Name(), runs.Add(1))
	return recipestest.Namespace(t, prefix, opts...), recipestest.Namespace(t, prefix)
}

// acquires waits for the lock in the background.
func acquires(t *testing.T, s *session.Session) <-chan *lock.Held {
	t.Helper()
	got := make(chan *lock.Held, 1)
	go func() {
		held, err := lock.Acquire(context.Background(), s, "x")
		if err != nil && !errors.Is(err, session.ErrClosed) {
			t.Error(err)
		}
		got <- held
	}()
	return got
}

// receive is what acquires gets.
func receive(t *testing.T, got <-chan *lock.Held) *lock.Held {
	t.Helper()
	select {
	case held := <-got:
		if held != nil {
			return held
		}
	case <-time.After(atLast):
	}
	t.Fatal("it did not get the lock")
	return nil
}

// TestALateTxnOfAReleasedHolderIsRefused: the one that had the lock before leaves a mark with the create revision of its entry for as long as the
// next one holds. Its Txn, which arrives only now, must not be taken for one of the holder's.
func TestALateTxnOfAReleasedHolderIsRefused(t *testing.T) {
	faults := recipestest.NewFaults(t)
	c, other := pair(t, faults)
	a, b := open(t, c), open(t, other)
	held := acquire(t, a, "x")
	got := acquires(t, b)
	waiters(t, other, "x", 1)
	late := faults.LateRequest(1, recipestest.Reset)
	if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("data", "of the old holder")).Commit(); !errors.Is(err, session.ErrUnknownOutcome) {
		t.Fatalf("Commit = %v, want ErrUnknownOutcome", err)
	}
	release(t, held)
	next := receive(t, got)
	if _, err := next.Txn(t.Context()).Then(clientv3.OpPut("data", "of the holder")).Commit(); err != nil {
		t.Fatal(err)
	}
	resp, err := other.Get(t.Context(), held.Claims()[0].Key)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("the old holder's mark is not there (%v): the test shows nothing", err)
	}
	if token, ok := held.Token().Int64(); !ok || resp.Kvs[0].CreateRevision != token {
		t.Fatalf("the mark was created at %d, and the token is %v: the test shows nothing", resp.Kvs[0].CreateRevision, held.Token())
	}
	if err := late.LetThrough(); err != nil {
		t.Fatal(err)
	}
	if resp, err := other.Get(t.Context(), "data"); err != nil || string(resp.Kvs[0].Value) != "of the holder" {
		t.Errorf("data = %q, %v, want that of the holder", resp.Kvs, err)
	}
	release(t, next)
}

// TestManyGiveUpAtOnce: the holder can release, and the lock is free, whatever marks they leave; and whoever comes next deletes them.
func TestManyGiveUpAtOnce(t *testing.T) {
	const n = 200 // more marks than one Txn may have operations
	c := recipestest.Client(t)
	long := session.TTL(5 * time.Minute) // a busy machine may not renew in time
	a, b := open(t, c, long), open(t, c, long)
	held := acquire(t, a, "x")
	ctx, cancel := context.WithCancel(t.Context())
	var going sync.WaitGroup
	for range n {
		going.Go(func() {
			if _, err := lock.Acquire(ctx, b, "x"); !errors.Is(err, context.Canceled) {
				t.Errorf("Acquire = %v, want context.Canceled", err)
			}
		})
	}
	waiters(t, c, "x", n)
	cancel()
	going.Wait()
	waiters(t, c, "x", 0)
	release(t, held)
	held, err := lock.TryAcquire(t.Context(), a, "x")
	if err != nil {
		t.Fatalf("TryAcquire of a free lock = %v", err)
	}
	release(t, held)
	eventually(t, "nothing is left", func() bool { return len(keysOf(t, c)) == 0 })
}

// TestARemovedWaiterIsNoHolder: it hears at one time that it was removed and that the head was passed on to it. Etcd has decided that by then;
// the news of the one may come to the waiter's goroutine before that of the other, for an instant.
func TestARemovedWaiterIsNoHolder(t *testing.T) {
	for name, remove := range map[string]clientv3.Op{
		"by a mark":   clientv3.OpPut("", `{"state":"removed"}`, clientv3.WithIgnoreLease()),
		"by deletion": clientv3.OpDelete(""),
	} {
		t.Run(name, func(t *testing.T) {
			proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
			c, other := pair(t, proxy)
			requests := recipestest.Count(c)
			s, a := open(t, c), open(t, other)
			first := acquire(t, a, "x")
			type result struct {
				held *lock.Held
				err  error
			}
			got := make(chan result, 1)
			go func() { held, err := lock.Acquire(t.Context(), s, "x"); got <- result{held, err} }()
			remove.WithKeyBytes([]byte(waitingEntry(t, other)))
			eventually(t, "the waiter's look", func() bool { return requests.Txns.Load() == 2 })
			proxy.Hold(recipestest.ToClient)
			if _, err := other.Do(t.Context(), remove); err != nil {
				t.Fatal(err)
			}
			release(t, first)
			next := acquire(t, a, "x")
			eventually(t, "the news is on its way", func() bool { return proxy.Kept(recipestest.ToClient) > 0 })
			proxy.Release(recipestest.ToClient)
			switch r := <-got; {
			case r.err == nil: // etcd refuses its writes, and it hears of it at once
				if _, err := r.held.Txn(t.Context()).Then(clientv3.OpPut("data", "v")).Commit(); !errors.Is(err, session.ErrLost) {
					t.Errorf("its Txn = %v, want ErrLost", err)
				}
				lost(t, r.held)
			case !errors.Is(r.err, lock.ErrRemoved):
				t.Errorf("Acquire = %v, want ErrRemoved", r.err)
			}
			if _, err := next.Txn(t.Context()).Then(clientv3.OpPut("data", "v")).Commit(); err != nil {
				t.Errorf("the next one's Txn = %v", err)
			}
			release(t, next)
		})
	}
}

// TestHoldingWhenEtcdIsFull: what is held stays held, and what would write more is refused, for certain.
func TestHoldingWhenEtcdIsFull(t *testing.T) {
	srv := recipestest.NewServer(t, recipestest.Quota(4<<20))
	c := srv.Client()
	a, b := open(t, c), open(t, c)
	held := acquire(t, a, "x")
	srv.Fill()
	if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("data", "v")).Commit(); !errors.Is(err, rpctypes.ErrNoSpace) || errors.Is(err, session.ErrUnknownOutcome) {
		t.Errorf("a Txn that puts = %v, want ErrNoSpace, and not ErrUnknownOutcome", err)
	}
	if _, err := held.Txn(t.Context()).Then(clientv3.OpDelete("fill/0")).Commit(); err != nil {
		t.Errorf("a Txn that deletes = %v", err)
	}
	if err := held.Err(); err != nil {
		t.Errorf("the hold has ended: %v", err)
	}
	if _, err := lock.TryAcquire(t.Context(), b, "x"); !errors.Is(err, lock.ErrHeld) && !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("TryAcquire = %v, want ErrHeld or ErrNoSpace", err)
	}
	if _, err := session.Open(t.Context(), c); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("Open = %v, want ErrNoSpace", err)
	}
	if st, err := lock.Inspect(t.Context(), c, "x"); err != nil || st.Holder == nil || st.Holder.Token != held.Token() || len(st.Waiters) > 0 {
		t.Errorf("Inspect = %+v, %v, want the holder alone", st, err)
	}
	release(t, held)
}
