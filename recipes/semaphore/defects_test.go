package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestTwoWhoWantTwoOfTwo: where permits are taken one by one (Curator), each gets one and waits for the other's for ever.
func TestTwoWhoWantTwoOfTwo(t *testing.T) {
	c := recipestest.Client(t)
	limit(t, c, 2)
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 4 {
		s := open(t, c)
		all.Go(func() {
			for range 10 {
				if err := semaphore.Do(ctx, s, "x", 2, func(context.Context) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	left(t, c)
}

// TestTriesTakeNoMoreThanThereAre, and wait for nobody: a non-blocking acquire let in more than the limit (kazoo #214), or got stuck (kazoo #429).
func TestTriesTakeNoMoreThanThereAre(t *testing.T) {
	const permits, tries = 3, 12
	c := recipestest.Client(t)
	limit(t, c, permits)
	var all sync.WaitGroup
	var got, refused, inside atomic.Int64
	for range tries {
		s := open(t, c)
		all.Go(func() {
			for range 10 {
				p, err := semaphore.TryAcquire(t.Context(), s, "x", 1)
				switch {
				case errors.Is(err, semaphore.ErrHeld):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				default:
					got.Add(1)
					if n := inside.Add(1); n > permits {
						t.Errorf("%d hold a permit, of %d", n, permits)
					}
					inside.Add(-1)
					release(t, p)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d got one, %d were refused", got.Load(), refused.Load())
	if got.Load() == 0 {
		t.Error("nobody got one")
	}
	left(t, c)
}

// TestWhatTheDeadHeldIsFree: a holder that crashed never gave its permits back (Redisson), and one that was cut off left a node behind (Curator).
func TestWhatTheDeadHeldIsFree(t *testing.T) {
	t.Parallel()
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	limit(t, c, 5, semaphore.Spread("rack", 5))
	network := recipestest.NewProxy(t, recipestest.Endpoint(t))
	var doomed []*session.Session
	for _, n := range []int{2, 1, 2} {
		s, err := session.Open(t.Context(), recipestest.Namespace(t, p, network), session.CleanupTimeout(time.Millisecond), in("a"), session.TTL(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close(context.Background()) })
		acquire(t, s, n)
		doomed = append(doomed, s)
	}
	for _, s := range doomed { // they die as waiters, too
		go func() { _, _ = semaphore.Acquire(t.Context(), s, "x", 3) }()
	}
	waiting(t, c, len(doomed))
	network.Cut(recipestest.Silence)
	s := open(t, c, in("a"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	permit, err := semaphore.Acquire(ctx, s, "x", 5)
	if err != nil {
		t.Fatalf("all permits, once everybody is dead: %v", err)
	}
	has(t, permit, 0, 1, 2, 3, 4)
	release(t, permit)
	keys(t, c, "p/limit", "p/look")
}

// TestALateReleaseFreesNobodyElsesSlot: slots have the names of those before.
func TestALateReleaseFreesNobodyElsesSlot(t *testing.T) {
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	limit(t, c, 2)
	faults := recipestest.NewFaults(t)
	s := open(t, recipestest.Namespace(t, p, faults), session.TTL(long))
	first := acquire(t, s, 2)
	late := faults.LateRequest(1, recipestest.Reset)
	release(t, first)
	other := open(t, c)
	second := acquire(t, other, 2)
	if err := late.LetThrough(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
		t.Errorf("a release that came late has taken it away: %v", err)
	}
	release(t, second)
	left(t, c)
}

// TestTheLimitIsNobodysWhoAcquires: where each client brings its own (Curator, kazoo), the largest is in force.
func TestTheLimitIsNobodysWhoAcquires(t *testing.T) {
	c := recipestest.Client(t)
	limit(t, c, 2)
	a, b := open(t, c), open(t, c)
	p, err := semaphore.Acquire(t.Context(), a, "x", 2, semaphore.Expect(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := semaphore.Acquire(t.Context(), b, "x", 1, semaphore.Expect(10)); !errors.Is(err, semaphore.ErrLimitMismatch) {
		t.Errorf("one who is of another mind: %v, want ErrLimitMismatch", err)
	}
	release(t, p)
	left(t, c)
}

// TestAWaitIsAsLongAsItsContext: it was cut short when others came and went (Consul).
func TestAWaitIsAsLongAsItsContext(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 1)
	held := acquire(t, s, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	failed := make(chan error, 1)
	begun := time.Now()
	go func() { _, err := semaphore.Acquire(ctx, s, "x", 1); failed <- err }()
	waiting(t, c, 1)
	for i := 0; ctx.Err() == nil; i++ { // resized all the time
		limit(t, c, i%2)
	}
	if err := <-failed; !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, session.ErrUnavailable) {
		t.Errorf("after %v: %v, want DeadlineExceeded alone", time.Since(begun), err)
	}
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("it waited for %v", took)
	}
	release(t, held)
	eventually(t, func() (string, bool) { st := inspect(t, c); return fmt.Sprintf("left: %+v", st), len(st.Waiters) == 0 })
}
