package lock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

func open(t *testing.T, c *clientv3.Client, opts ...session.Option) *session.Session {
	t.Helper()
	s, err := session.Open(t.Context(), c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func acquire(t *testing.T, s *session.Session, name string) *lock.Held {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	held, err := lock.Acquire(ctx, s, name)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// acquiring acquires meanwhile; then waits for the lock.
func acquiring(t *testing.T, s *session.Session, name string) (then func() *lock.Held) {
	t.Helper()
	type result struct {
		held *lock.Held
		err  error
	}
	got := make(chan result, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() {
		defer cancel()
		held, err := lock.Acquire(ctx, s, name)
		got <- result{held, err}
	}()
	return func() *lock.Held {
		t.Helper()
		r := <-got
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.held
	}
}

func release(t *testing.T, held *lock.Held) {
	t.Helper()
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// keysOf is everything that a client's part of etcd holds.
func keysOf(t *testing.T, c *clientv3.Client) []string {
	t.Helper()
	resp, err := c.Get(context.Background(), "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// waiters waits until n stand in line behind the holder.
func waiters(t *testing.T, c *clientv3.Client, name string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d waiters", n), func() bool {
		st, err := lock.Inspect(t.Context(), c, name)
		if err != nil {
			t.Fatal(err)
		}
		return len(st.Waiters) == n
	})
}

// eventually looks again and again until something is so, and fails if it doesn't come about.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("it never came about: %s", what)
		}
	}
}

// each runs the cases at once: most of their time they wait, and t.Parallel would allow one for each core.
func each[C any](t *testing.T, cases map[string]C, run func(t *testing.T, c C)) {
	t.Helper()
	var wg sync.WaitGroup
	for name, c := range cases {
		wg.Go(func() {
			t.Run(name, func(t *testing.T) { run(t, c) })
		})
	}
	wg.Wait()
}

func TestOneHoldsAndAnotherIsRefused(t *testing.T) {
	c := recipestest.Client(t)
	a, b := open(t, c), open(t, c, session.Labels(map[string]string{"role": "b"}))
	held := acquire(t, a, "x")
	_, err := lock.TryAcquire(t.Context(), b, "x")
	var by *lock.HeldError
	if !errors.Is(err, lock.ErrHeld) || !errors.As(err, &by) {
		t.Fatalf("TryAcquire = %v, want *HeldError", err)
	}
	if by.Holder.Token != held.Token() || by.Holder.PID == 0 || by.Holder.Since.IsZero() {
		t.Errorf("held by %+v, want token %v, a process and since when", by.Holder, held.Token())
	}
	release(t, held)
	again, err := lock.TryAcquire(t.Context(), b, "x")
	if err != nil {
		t.Fatal(err)
	}
	if again.Token().Compare(held.Token()) <= 0 {
		t.Errorf("tokens %v then %v, want them to rise", held.Token(), again.Token())
	}
	release(t, again)
	if left := keysOf(t, c); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestGoroutinesOfOneSessionExcludeEachOther(t *testing.T) {
	s := open(t, recipestest.Client(t))
	var inside, entered int
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				err := lock.Do(t.Context(), s, "x", func(context.Context) error {
					inside++ // a data race, were there two
					entered++
					if inside != 1 {
						t.Errorf("%d inside", inside)
					}
					inside--
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if entered != 200 {
		t.Errorf("entered %d times, want 200", entered)
	}
}

func TestOrderOfArrivalAndRisingTokens(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	first := acquire(t, s, "x")
	type got struct {
		n     int
		token fencing.Token
	}
	order := make(chan got, 8)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			held, err := lock.Acquire(t.Context(), s, "x")
			if err != nil {
				t.Error(err)
				return
			}
			order <- got{n, held.Token()}
			release(t, held)
		})
		waiters(t, c, "x", n+1)
	}
	release(t, first)
	wg.Wait()
	close(order)
	last, n := first.Token(), 0
	for g := range order {
		if g.n != n || g.token.Compare(last) <= 0 {
			t.Errorf("got waiter %d with token %v after %v, want waiter %d", g.n, g.token, last, n)
		}
		last = g.token
		n++
	}
	if left := keysOf(t, c); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestTheContextEndsAtRelease(t *testing.T) {
	s := open(t, recipestest.Client(t))
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
	held, err := lock.Acquire(ctx, s, "x")
	if err != nil {
		t.Fatal(err)
	}
	cancel() // bounded the waiting only
	if err := held.Context().Err(); err != nil {
		t.Fatalf("the hold's context ended with the acquiring one: %v", err)
	}
	if held.Context().Value(key{}) != "v" {
		t.Error("the hold's context lost the values of the acquiring one")
	}
	claim, err := fencing.FromContext(held.Context())
	if err != nil || claim.Token != held.Token() || claim.Resource != "lock/x" {
		t.Errorf("claim %+v, %v, want lock/x with token %v", claim, err, held.Token())
	}
	release(t, held)
	if cause := context.Cause(held.Context()); !errors.Is(cause, session.ErrReleased) {
		t.Errorf("cause %v, want ErrReleased", cause)
	}
	if _, err := fencing.FromContext(held.Context()); !errors.Is(err, fencing.ErrEnded) {
		t.Errorf("a guard accepts a released hold: %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("second Release = %v, want what the first returned", err)
	}
}

func TestGivingUpLeavesNothingInLine(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	for _, n := range []int{1, 3} { // the last in line; and several, of whom the first gives up last
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if _, err := lock.Acquire(ctx, s, "x"); !errors.Is(err, context.Canceled) {
					t.Errorf("Acquire = %v, want context.Canceled", err)
				}
			})
			waiters(t, c, "x", i+1)
		}
		cancel()
		wg.Wait()
		waiters(t, c, "x", 0)
	}
	release(t, held)
	release(t, acquire(t, s, "x"))
}

func TestAcquiringWhatTheContextHoldsIsRefused(t *testing.T) {
	s := open(t, recipestest.Client(t))
	err := lock.Do(t.Context(), s, "x", func(ctx context.Context) error {
		if err := lock.Do(ctx, s, "y", func(context.Context) error { return nil }); err != nil {
			t.Errorf("another lock inside: %v", err)
		}
		_, err := lock.Acquire(ctx, s, "x")
		return err
	})
	if !errors.Is(err, lock.ErrWouldDeadlock) {
		t.Errorf("Acquire within Do = %v, want ErrWouldDeadlock", err)
	}
}

func TestInspectAndList(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c, session.Labels(map[string]string{"k": "v"}))
	held := acquire(t, s, "a/b")
	other := acquire(t, s, "a")
	st, err := lock.Inspect(t.Context(), c, "a/b")
	if err != nil || st.Holder == nil || st.Holder.Token != held.Token() || st.Holder.Labels["k"] != "v" {
		t.Errorf("Inspect = %+v, %v", st, err)
	}
	all, err := lock.List(t.Context(), c)
	if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Name != "a/b" {
		t.Errorf("List = %+v, %v, want a and a/b", all, err)
	}
	release(t, held)
	release(t, other)
	if st, err := lock.Inspect(t.Context(), c, "a"); err != nil || st.Holder != nil {
		t.Errorf("a free lock: %+v, %v", st, err)
	}
}

func TestTxnCommitsOnlyWhileHeld(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("k", "1")).Commit(); err != nil {
		t.Fatal(err)
	}
	resp, err := held.Txn(t.Context()).If(clientv3.Compare(clientv3.Value("k"), "=", "2")).
		Then(clientv3.OpPut("k", "3")).Else(clientv3.OpGet("k")).Commit()
	if err != nil || resp.Succeeded || string(resp.Responses[0].GetResponseRange().Kvs[0].Value) != "1" {
		t.Fatalf("the user's own condition: %+v, %v", resp, err)
	}
	txn := held.Txn(t.Context()).Then(clientv3.OpPut("k", "late"))
	release(t, held)
	if _, err := txn.Commit(); !errors.Is(err, session.ErrReleased) {
		t.Errorf("Commit after Release = %v, want ErrReleased", err)
	}
	if got, _ := c.Get(t.Context(), "k"); string(got.Kvs[0].Value) != "1" {
		t.Errorf("k = %q, want 1", got.Kvs[0].Value)
	}
}
