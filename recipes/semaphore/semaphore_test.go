package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// below is where the keys of the semaphore x stand.
const below = "/stile/v1/semaphore/x/"

// long is a TTL with which no renewal falls into a test that counts.
const long = 300 * time.Second

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

func limit(t *testing.T, c *clientv3.Client, n int, opts ...semaphore.ClientOption) {
	t.Helper()
	if err := semaphore.SetLimit(t.Context(), c, "x", n, opts...); err != nil {
		t.Fatal(err)
	}
}

func acquire(t *testing.T, s *session.Session, n int) *semaphore.Permit {
	t.Helper()
	p, err := semaphore.Acquire(t.Context(), s, "x", n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// acquires waits for n permits in the background, and returns when it stands in line as the place-th.
func acquires(t *testing.T, c *clientv3.Client, s *session.Session, n, place int, opts ...semaphore.Option) <-chan *semaphore.Permit {
	t.Helper()
	got := make(chan *semaphore.Permit, 1)
	go func() {
		p, err := semaphore.Acquire(t.Context(), s, "x", n, opts...)
		if err != nil {
			t.Error(err)
		}
		got <- p
	}()
	waiting(t, c, place)
	return got
}

// fails waits for n permits in the background, and returns when it stands in line as the place-th.
func fails(t *testing.T, c *clientv3.Client, s *session.Session, n, place int, opts ...semaphore.Option) <-chan error {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		_, err := semaphore.Acquire(t.Context(), s, "x", n, opts...)
		failed <- err
	}()
	waiting(t, c, place)
	return failed
}

func release(t *testing.T, p *semaphore.Permit) {
	t.Helper()
	if err := p.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// waiting waits until n stand in line.
func waiting(t *testing.T, c *clientv3.Client, n int) {
	t.Helper()
	eventually(t, func() (string, bool) {
		got := len(inspect(t, c).Waiters)
		return fmt.Sprintf("%d wait, want %d", got, n), got == n
	})
}

func inspect(t *testing.T, c *clientv3.Client) semaphore.State {
	t.Helper()
	st, err := semaphore.Inspect(t.Context(), c, "x")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func eventually(t *testing.T, look func() (what string, so bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		what, so := look()
		if so {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

// still fails if something has come that must not have.
func still(t *testing.T, got <-chan *semaphore.Permit, what string) {
	t.Helper()
	select {
	case p := <-got:
		t.Fatalf("%s: it got slots %v", what, p.Slots())
	default:
	}
}

func has(t *testing.T, p *semaphore.Permit, slots ...int) {
	t.Helper()
	if !slices.Equal(p.Slots(), slots) {
		t.Errorf("it has slots %v, want %v", p.Slots(), slots)
	}
}

// left waits until no key is left but the limit's record, and those that make ids void.
func left(t *testing.T, c *clientv3.Client) {
	t.Helper()
	eventually(t, func() (string, bool) {
		resp, err := c.Get(t.Context(), below, clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range resp.Kvs {
			if key := string(kv.Key[len(below):]); key != "p/limit" && key[0] != 'x' {
				return fmt.Sprintf("left: %s = %s", key, kv.Value), false
			}
		}
		return "", true
	})
}

var runs atomic.Int64 // a part of etcd of its own for each run, also with -count

func prefix(t *testing.T) string { t.Helper(); return fmt.Sprintf("%s %d", t.Name(), runs.Add(1)) }

func TestSlotsAreNumberedLowestFirst(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 4)
	a, b, d := acquire(t, s, 1), acquire(t, s, 2), acquire(t, s, 1)
	has(t, a, 0)
	has(t, b, 1, 2)
	has(t, d, 3)
	release(t, b)
	release(t, a)
	e := acquire(t, s, 2)
	has(t, e, 0, 1)
	claims := e.Claims()
	for i, want := range []string{"semaphore/x#0", "semaphore/x#1"} {
		if claims[i].Resource != want || claims[i].Mode != fencing.Exclusive || claims[i].Token != e.Token() {
			t.Errorf("claim %d is %+v, want an exclusive one on %s with token %v", i, claims[i], want, e.Token())
		}
	}
	if claim, err := fencing.FromContext(fencing.For(e.Context(), "semaphore/x#1")); err != nil || claim.Key != claims[1].Key {
		t.Errorf("the claim on slot 1: %+v, %v", claim, err)
	}
	for before, after := range map[*semaphore.Permit]*semaphore.Permit{a: e, b: e} {
		if after.Token().Compare(before.Token()) <= 0 {
			t.Errorf("the next holder of a slot has token %v after %v", after.Token(), before.Token())
		}
	}
	f := acquire(t, s, 1)
	has(t, f, 2)
	for _, p := range []*semaphore.Permit{d, e, f} {
		release(t, p)
	}
	left(t, c)
}

// TestAtMostPermitsAreHeld: with whatever combination of what is asked for.
func TestAtMostPermitsAreHeld(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 3)
	first := acquire(t, s, 2)
	for _, n := range []int{2, 3} {
		_, err := semaphore.TryAcquire(t.Context(), s, "x", n)
		held, ok := errors.AsType[*semaphore.HeldError](err)
		if !ok || !errors.Is(err, semaphore.ErrHeld) || held.State.Taken() != 2 || held.State.Limit != 3 || held.Asked != n {
			t.Errorf("TryAcquire of %d with 2 of 3 taken = %v, want a *HeldError that says so", n, err)
		}
	}
	second, err := semaphore.TryAcquire(t.Context(), s, "x", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := semaphore.TryAcquire(t.Context(), s, "x", 1); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("TryAcquire of one with all taken = %v, want ErrHeld", err)
	}
	third := acquires(t, c, s, 1, 1)
	still(t, third, "all are taken")
	release(t, first)
	release(t, <-third)
	release(t, second)
	left(t, c)
}

// TestALargeRequestIsNotStarved: small ones that come after it wait, though there is room for them.
func TestALargeRequestIsNotStarved(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 3)
	first, second := acquire(t, s, 1), acquire(t, s, 1)
	large := acquires(t, c, s, 3, 1)
	small := acquires(t, c, s, 1, 2)
	if _, err := semaphore.TryAcquire(t.Context(), s, "x", 1); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("TryAcquire overtakes one that waits: %v", err)
	}
	release(t, first)
	still(t, large, "one is not back")
	still(t, small, "it would overtake")
	release(t, second)
	p := <-large
	has(t, p, 0, 1, 2)
	still(t, small, "all are taken")
	release(t, p)
	q := <-small
	has(t, q, 0)
	if q.Token().Compare(p.Token()) <= 0 {
		t.Errorf("token %v after %v", q.Token(), p.Token())
	}
	release(t, q)
	left(t, c)
}

func TestDoHoldsWhileItWorks(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 2)
	boom := errors.New("boom")
	err := semaphore.Do(t.Context(), s, "x", 2, func(ctx context.Context) error {
		if st := inspect(t, c); st.Taken() != 2 {
			t.Errorf("while it works: %+v", st)
		}
		if _, err := semaphore.Acquire(ctx, s, "x", 1); !errors.Is(err, semaphore.ErrWouldDeadlock) {
			t.Errorf("Acquire by a holder = %v, want ErrWouldDeadlock", err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("Do = %v, want what work returned", err)
	}
	left(t, c)
}

// TestAHoldIsGuardedByEachOfItsSlots: what one of them was taken from writes nothing more.
func TestAHoldIsGuardedByEachOfItsSlots(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 3)
	p := acquire(t, s, 3)
	if _, err := p.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
		t.Errorf("Txn = %v", err)
	}
	recipestest.Delete(t, c, p.Claims()[1].Key)
	if _, err := p.Txn(t.Context()).Then(clientv3.OpPut("k", "w")).Commit(); !errors.Is(err, session.ErrLost) {
		t.Errorf("Txn of one that lost a slot = %v, want ErrLost", err)
	}
	<-p.Context().Done()
	if err := p.Release(t.Context()); !errors.Is(err, session.ErrLost) {
		t.Errorf("Release = %v, want ErrLost", err)
	}
	left(t, c)
}
