package lock_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// times calls f for 0 to n-1, 64 of them at once.
func times(t *testing.T, n int, f func(i int) error) (took time.Duration) {
	t.Helper()
	start := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return time.Since(start).Round(time.Millisecond)
}

// TestOneSessionHoldsThousands: one renewal keeps all of them, and each costs what a single one costs.
func TestOneSessionHoldsThousands(t *testing.T) {
	t.Parallel()
	n := 10_000
	if raceDetector {
		n = 1_000 // the server is in this process
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := recipestest.Client(t)
	s := open(t, c, session.TTL(9*time.Second))
	requests := recipestest.Count(c)
	goroutines := runtime.NumGoroutine()
	holds := make([]*lock.Held, n)
	acquired := times(t, n, func(i int) (err error) {
		holds[i], err = lock.Acquire(ctx, s, fmt.Sprint(i))
		return err
	})
	watched := time.Now()
	eventually(t, "each is watched and looked at", func() bool { return requests.Txns.Load() == int64(2*n) })
	t.Logf("%d acquired in %v, watched %v later, by %d goroutines", n, acquired, time.Since(watched).Round(time.Millisecond), runtime.NumGoroutine()-goroutines)
	renewals := requests.KeepAlives.Load()
	eventually(t, "the next renewal is answered, and the one after it sent", func() bool { return requests.KeepAlives.Load() >= renewals+2 })
	for i, held := range holds {
		if err := held.Err(); err != nil {
			t.Fatalf("lock %d: %v", i, err)
		}
	}
	if all, err := c.Get(ctx, "/stile/v1/lock/", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || all.Count != int64(2*n) {
		t.Fatalf("%d keys (%v), want an entry and a tail for each of %d", all.Count, err, n)
	}
	released := times(t, n, func(i int) error { return holds[i].Release(ctx) })
	t.Logf("released in %v", released)
	if requests.Txns.Load() != int64(3*n) || requests.Grants.Load() > 0 {
		t.Errorf("%d Txns, %d Grants; want %d, none", requests.Txns.Load(), requests.Grants.Load(), 3*n)
	}
	if left := keysOf(t, c); len(left) > 0 {
		t.Errorf("left behind: %d keys", len(left))
	}
}

// TestOneSweepRemovesWhatCrashesLeft: the holders of a thousand locks died, and nobody ever asks for those locks again.
func TestOneSweepRemovesWhatCrashesLeft(t *testing.T) {
	t.Parallel()
	n := 1000
	if raceDetector {
		n = 200 // all of them are swept without it, in the same make test
	}
	prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
	p := recipestest.NewProxy(t, recipestest.Endpoint(t))
	dead := careless(t, recipestest.Namespace(t, prefix, p), 300*time.Second)
	times(t, n, func(i int) error {
		_, err := lock.Acquire(t.Context(), dead, fmt.Sprint("dead/", i))
		return err
	})
	c := recipestest.Namespace(t, prefix)
	alive := acquire(t, open(t, c), "alive")
	st, err := lock.Inspect(t.Context(), c, "dead/0")
	if err != nil || st.Holder == nil {
		t.Fatalf("Inspect = %+v, %v, want its holder", st, err)
	}
	p.Cut(recipestest.Silence) // it can't say goodbye
	recipestest.RevokeLeaseOf(t, c, "/stile/v1/lock/dead%2F0/e/"+st.Holder.ID)
	if left := keysOf(t, c); len(left) != n+2 {
		t.Fatalf("%d keys, want the tails of the dead, and an entry and a tail", len(left))
	}
	sweeper := recipestest.Namespace(t, prefix)
	requests := recipestest.Count(sweeper)
	start := time.Now()
	all, err := lock.List(t.Context(), sweeper)
	t.Logf("%d locks swept in %v, by %d requests", n, time.Since(start).Round(time.Millisecond), requests.Total())
	if requests.Txns.Load() > int64(n/50) {
		t.Errorf("%d Txns to sweep %d locks", requests.Txns.Load(), n)
	}
	if err != nil || len(all) != 1 || all[0].Name != "alive" {
		t.Errorf("List = %d locks, %v, want the one alive", len(all), err)
	}
	if left := keysOf(t, c); len(left) != 2 {
		t.Errorf("%d keys are left, want those of the one alive", len(left))
	}
	if err := alive.Err(); err != nil {
		t.Errorf("the one alive: %v", err)
	}
	release(t, alive)
}
