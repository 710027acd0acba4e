package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

func TestSeveralLocksAreOneTransaction(t *testing.T) {
	s, requests := counted(t, t.Name())
	names := make([]string, 64)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	held, err := lock.AcquireAll(t.Context(), s, names...)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "64 locks that are free", requests, 1, 0, 0)
	ctx := held.Context()
	if _, err := fencing.FromContext(ctx); !errors.Is(err, fencing.ErrAmbiguousClaim) {
		t.Errorf("a claim of several: %v, want ErrAmbiguousClaim", err)
	}
	if c, err := fencing.FromContext(fencing.For(ctx, "lock/n17")); err != nil || c.Token != held.Token() {
		t.Errorf("the claim on one of them: %v, %v", c, err)
	}
	if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
		t.Errorf("Txn = %v", err)
	}
	release(t, held)
	if n := requests.Txns.Load(); n != 3 {
		t.Errorf("%d Txns, want one each to acquire, write and release", n)
	}
}

func TestSeveralLocksAreAllOrNothing(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	b := acquire(t, s, "b")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := lock.AcquireAll(ctx, s, "a", "b", "c")
		failed <- err
	}()
	waiters(t, c, "b", 1)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("AcquireAll = %v", err)
	}
	for _, name := range []string{"a", "c"} {
		held, err := lock.TryAcquire(t.Context(), s, name)
		if err != nil {
			t.Fatalf("%q is not free after the rest was given up: %v", name, err)
		}
		release(t, held)
	}
	release(t, b)
	nothingLeft(t, c)
}

func TestSeveralLocksAreRefusedBeforeAnythingIsSent(t *testing.T) {
	s, requests := counted(t, t.Name())
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for what, names := range map[string][]string{"none": nil, "one twice": {"a", "b", "a"}, "a bad one": {"a", "b#"}, "too many": many} {
		if _, err := lock.AcquireAll(t.Context(), s, names...); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if n := requests.Total(); n != 0 {
		t.Errorf("%d requests, want 0", n)
	}
}

func TestSeveralLocksAndOneThatIsHeldAlready(t *testing.T) {
	s := open(t, recipestest.Client(t))
	held := acquire(t, s, "b")
	if _, err := lock.AcquireAll(held.Context(), s, "a", "b"); !errors.Is(err, lock.ErrWouldDeadlock) {
		t.Errorf("AcquireAll = %v, want ErrWouldDeadlock", err)
	}
	release(t, held)
}

// TestSetsThatOverlapNeverDeadlock: any sets, in any order of names, and nobody starves.
func TestSetsThatOverlapNeverDeadlock(t *testing.T) {
	c := recipestest.Client(t)
	names := []string{"a", "b", "c", "d", "e"}
	var mu sync.Mutex
	holder := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for worker := range 8 {
		s := open(t, c)
		wg.Go(func() {
			for range 15 {
				set := slices.Clone(names)
				rand.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
				set = set[:1+rand.IntN(len(set))]
				held, err := lock.AcquireAll(ctx, s, set...)
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
				mu.Lock()
				for _, name := range set {
					if other, taken := holder[name]; taken {
						t.Errorf("%q is held by %d and %d", name, other, worker)
					}
					holder[name] = worker
				}
				mu.Unlock()
				mu.Lock()
				for _, name := range set {
					delete(holder, name)
				}
				mu.Unlock()
				if err := held.Release(ctx); err != nil {
					t.Errorf("worker %d: release: %v", worker, err)
				}
			}
		})
	}
	wg.Wait()
	nothingLeft(t, c)
}

// TestSeveralLocksAndLostAnswers: whichever request loses its answer, the result is right, and nothing is left.
func TestSeveralLocksAndLostAnswers(t *testing.T) {
	for n := 1; n <= 8; n++ {
		faults := recipestest.NewFaults(t)
		prefix := fmt.Sprint(t.Name(), n)
		mine := open(t, recipestest.Namespace(t, prefix, faults))
		c := recipestest.Namespace(t, prefix)
		rival := open(t, c)
		b := acquire(t, rival, "b")
		faults.DropAnswer(n, recipestest.Reset)
		got := make(chan *lock.Held, 1)
		go func() {
			held, err := lock.AcquireAll(t.Context(), mine, "a", "b", "c")
			if err != nil {
				t.Errorf("request %d: %v", n, err)
			}
			got <- held
		}()
		waiters(t, c, "b", 1)
		release(t, b)
		held := <-got
		for _, name := range []string{"a", "b", "c"} {
			if _, err := lock.TryAcquire(t.Context(), rival, name); !errors.Is(err, lock.ErrHeld) {
				t.Errorf("request %d: a rival's try of %q = %v, want ErrHeld", n, name, err)
			}
		}
		release(t, held)
		for _, name := range []string{"a", "b", "c"} {
			release(t, acquire(t, rival, name))
		}
		if err := errors.Join(mine.Close(t.Context()), rival.Close(t.Context())); err != nil {
			t.Error(err)
		}
		nothingLeft(t, c)
	}
}

// TestOneOfSeveralIsTaken: the whole hold ends, and the rest is given back.
func TestOneOfSeveralIsTaken(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held, err := lock.AcquireAll(t.Context(), s, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	recipestest.Delete(t, c, held.Claims()[1].Key)
	lost(t, held)
	if err := held.Release(t.Context()); !errors.Is(err, session.ErrLost) {
		t.Errorf("Release = %v, want ErrLost", err)
	}
	release(t, acquire(t, s, "a"))
}

// TestOneOfSeveralIsTakenFromOneThatWaits: nobody watches a lock that was free at once, while it waits for another.
func TestOneOfSeveralIsTakenFromOneThatWaits(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	b := acquire(t, s, "b")
	failed := make(chan error, 1)
	go func() {
		_, err := lock.AcquireAll(t.Context(), s, "a", "b")
		failed <- err
	}()
	waiters(t, c, "b", 1)
	state, err := lock.Inspect(t.Context(), c, "a")
	if err != nil || state.Holder == nil {
		t.Fatalf("a: %+v, %v", state, err)
	}
	recipestest.Delete(t, c, "/stile/v1/lock/a/e/"+state.Holder.ID)
	release(t, b)
	if err := <-failed; !errors.Is(err, lock.ErrRemoved) {
		t.Errorf("AcquireAll = %v, want ErrRemoved", err)
	}
	release(t, acquire(t, s, "b"))
	nothingLeft(t, c)
}

// TestSeveralLocksWithoutSpace: etcd refuses the Put, and the locks are released all the same.
func TestSeveralLocksWithoutSpace(t *testing.T) {
	server := recipestest.NewServer(t, recipestest.Quota(4<<20))
	c := server.Client()
	s := open(t, c)
	held, err := lock.AcquireAll(t.Context(), s, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	server.Fill()
	if _, err := lock.AcquireAll(t.Context(), s, "c", "d"); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("AcquireAll = %v, want ErrNoSpace", err)
	}
	release(t, held)
	resp, err := c.Get(t.Context(), "/stile/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil || len(resp.Kvs) > 0 {
		t.Errorf("left: %v, %v", resp, err)
	}
}

// nothingLeft waits until no key of locks is left but ids that were made void.
func nothingLeft(t *testing.T, c *clientv3.Client) {
	t.Helper()
	eventually(t, "no key is left", func() bool {
		resp, err := c.Get(t.Context(), "/stile/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Count == 0
	})
}

// TestManyLocksWithOthersBehind: all of them are passed on in one transaction, as many as there may be.
func TestManyLocksWithOthersBehind(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	names := make([]string, 64)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	first, err := lock.AcquireAll(t.Context(), s, names...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp, got := make(chan error, 1), make(chan *lock.Held, 1)
	go func() { _, err := lock.AcquireAll(ctx, s, names...); gaveUp <- err }()
	waiters(t, c, "n63", 1)
	go func() {
		held, err := lock.AcquireAll(t.Context(), s, names...)
		if err != nil {
			t.Error(err)
		}
		got <- held
	}()
	waiters(t, c, "n63", 2)
	cancel() // 64 entries in the middle of 64 lines
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("AcquireAll = %v", err)
	}
	release(t, first)
	release(t, <-got)
	nothingLeft(t, c)
}
