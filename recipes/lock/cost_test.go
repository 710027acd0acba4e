package lock_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

var runs atomic.Int64 // a part of etcd of its own for each run, also with -count

// counted is a session whose lease is open and whose requests are counted from here on. Its TTL is so long that no renewal
// falls into the test.
func counted(t *testing.T, prefix string) (*session.Session, *recipestest.Requests) {
	t.Helper()
	c := recipestest.Namespace(t, prefix)
	s := open(t, c, session.TTL(300*time.Second))
	return s, recipestest.Count(c)
}

func expect(t *testing.T, what string, r *recipestest.Requests, txns, gets, watches int64) {
	t.Helper()
	if r.Txns.Load() != txns || r.Gets.Load() != gets || r.Watches.Load() != watches || r.Total() != txns+gets+watches {
		t.Errorf("%s: %d Txns, %d Gets, %d Watches, %d in all; want %d, %d, %d", what,
			r.Txns.Load(), r.Gets.Load(), r.Watches.Load(), r.Total(), txns, gets, watches)
	}
}

func TestUncontendedIsOneTxnEach(t *testing.T) {
	s, r := counted(t, fmt.Sprintf("%s %d", t.Name(), runs.Add(1)))
	held := acquire(t, s, "x")
	expect(t, "Acquire", r, 1, 0, 0)
	release(t, held)
	expect(t, "Acquire and Release", r, 2, 0, 0)
	held, err := lock.TryAcquire(t.Context(), s, "x")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "and TryAcquire", r, 3, 0, 0)
	release(t, held)
	expect(t, "and Release", r, 4, 0, 0)
}

// TestCostOfWaiting: what a waiter and a hand-over cost does not depend on how many wait.
func TestCostOfWaiting(t *testing.T) {
	for _, n := range []int{10, 1000} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
			c := recipestest.Namespace(t, prefix)
			crowd := open(t, c)
			holder, ofHolder := counted(t, prefix)
			held := acquire(t, holder, "x")
			successor, ofSuccessor := counted(t, prefix)
			next := make(chan *lock.Held)
			go func() {
				held, err := lock.Acquire(t.Context(), successor, "x")
				if err != nil {
					t.Error(err)
				}
				next <- held
			}()
			eventually(t, "the successor's watches and its look", func() bool { return ofSuccessor.Txns.Load() == 2 })
			for i := range n {
				go func() { _, _ = lock.Acquire(t.Context(), crowd, "x") }()
				if i%100 == 99 || i == n-1 {
					waiters(t, c, "x", i+2)
				}
			}
			eventually(t, "the holder looks after its own key", func() bool { return ofHolder.Txns.Load() == 2 })
			expect(t, "a hold of over 250 ms: acquired, watched, looked", ofHolder, 2, 0, 1)
			expect(t, "a waiter: join, two watches, a look", ofSuccessor, 2, 0, 2)
			release(t, held)
			got := <-next
			expect(t, "a hand-over, by the releaser", ofHolder, 3, 0, 1)
			expect(t, "a hand-over, by the successor", ofSuccessor, 2, 0, 2)
			last, ofLast := counted(t, prefix)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { _, err := lock.Acquire(ctx, last, "x"); done <- err }()
			eventually(t, "the last one's look", func() bool { return ofLast.Txns.Load() == 2 })
			expect(t, "the last waiter of many", ofLast, 2, 0, 2)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("the last waiter: %v", err)
			}
			expect(t, "giving up", ofLast, 3, 0, 2)
			if err := crowd.Close(t.Context()); err != nil {
				t.Error(err)
			}
			release(t, got)
		})
	}
}

// TestReleasingIsOneTxnHoweverLongItWasHeld: the watch on the own key may see what the release does to it, and is not taken in.
func TestReleasingIsOneTxnHoweverLongItWasHeld(t *testing.T) {
	const n = 300
	s, r := counted(t, fmt.Sprintf("%s %d", t.Name(), runs.Add(1)))
	holds := make([]*lock.Held, n)
	times(t, n, func(i int) (err error) {
		holds[i], err = lock.Acquire(t.Context(), s, fmt.Sprint(i))
		return err
	})
	eventually(t, "each is watched and looked at", func() bool { return r.Txns.Load() == 2*n })
	times(t, n, func(i int) error { return holds[i].Release(t.Context()) })
	if err := s.Close(t.Context()); err != nil { // by then all has been asked that somebody wanted to ask
		t.Error(err)
	}
	if r.Txns.Load() != 3*n || r.KeepAlives.Load() > 0 || r.Gets.Load() > 0 {
		t.Errorf("%d Txns, %d KeepAlives, %d Gets; want %d, none, none", r.Txns.Load(), r.KeepAlives.Load(), r.Gets.Load(), 3*n)
	}
}

func TestBadInputIsRefusedBeforeAnyRequest(t *testing.T) {
	s, r := counted(t, t.Name())
	c := recipestest.Client(t)
	ofClient := recipestest.Count(c)
	ctx := t.Context()
	noWork := func(context.Context) error { return nil }
	for _, name := range []string{"", "a\x00", "a#1", "\xff", "a\nb", strings.Repeat("x", 10_000)} {
		_, err1 := lock.Acquire(ctx, s, name)
		_, err2 := lock.TryAcquire(ctx, s, name)
		_, err3 := lock.Inspect(ctx, c, name)
		err4 := lock.TryDo(ctx, s, name, noWork)
		if err := lock.Do(ctx, s, name, noWork); err == nil || err1 == nil || err2 == nil || err3 == nil || err4 == nil {
			t.Errorf("name %.20q was accepted", name)
		}
	}
	closed := open(t, c)
	if err := closed.Close(ctx); err != nil {
		t.Fatal(err)
	}
	sent := ofClient.Total()
	for what, s := range map[string]*session.Session{"nil": nil, "zero": {}, "closed": closed} {
		_, err1 := lock.Acquire(ctx, s, "x")
		_, err2 := lock.TryAcquire(ctx, s, "x")
		if err := lock.Do(ctx, s, "x", noWork); err == nil || err1 == nil || err2 == nil {
			t.Errorf("a %s session was accepted", what)
		}
		if what == "closed" && !errors.Is(err1, session.ErrClosed) {
			t.Errorf("Acquire on a closed session = %v, want ErrClosed", err1)
		}
	}
	if err := lock.Do(ctx, s, "x", nil); err == nil {
		t.Error("work that is nil was accepted")
	}
	var noCtx context.Context
	_, err1 := lock.Acquire(noCtx, s, "x")
	_, err2 := lock.Inspect(noCtx, c, "x")
	if err1 == nil || err2 == nil {
		t.Error("a nil context was accepted")
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err1 = lock.Acquire(over, s, "x")
	_, err2 = lock.TryAcquire(over, s, "x")
	if !errors.Is(err1, context.Canceled) || !errors.Is(err2, context.Canceled) {
		t.Errorf("a context that has ended: %v, %v, want context.Canceled", err1, err2)
	}
	if _, err := lock.Inspect(ctx, nil, "x"); err == nil {
		t.Error("a nil client was accepted")
	}
	if _, err := lock.List(ctx, &clientv3.Client{}); err == nil {
		t.Error("an empty client was accepted")
	}
	expect(t, "bad input", r, 0, 0, 0)
	if ofClient.Total() != sent {
		t.Errorf("bad input sent %d requests", ofClient.Total()-sent)
	}
	for _, name := range []string{"/", "a/b", "with space", "имя", "%2F", ".."} {
		release(t, acquire(t, s, name))
	}
}

// TestAReleaseIsNotTakenForALoss: the holder's watch on its own key may see the release, which is no reason to ask after the lease.
func TestAReleaseIsNotTakenForALoss(t *testing.T) {
	const n = 200
	s, r := counted(t, fmt.Sprintf("%s %d", t.Name(), runs.Add(1)))
	var held []*lock.Held
	for i := range n {
		held = append(held, acquire(t, s, strconv.Itoa(i)))
	}
	eventually(t, "looks after the own keys", func() bool { return r.Txns.Load() == 2*n })
	var wg sync.WaitGroup
	for _, h := range held {
		wg.Go(func() { release(t, h) })
	}
	wg.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k := r.KeepAlives.Load(); k != 0 {
		t.Errorf("%d renewals, want 0", k)
	}
}
