package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestRaisingLetsThoseInWhoWait: all that fit, by nothing else than the raise.
func TestRaisingLetsThoseInWhoWait(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 1)
	first := acquire(t, s, 1)
	second, third, fourth := acquires(t, c, s, 1, 1), acquires(t, c, s, 1, 2), acquires(t, c, s, 1, 3)
	limit(t, c, 3)
	a, b := <-second, <-third
	has(t, a, 1)
	has(t, b, 2)
	waiting(t, c, 1)
	still(t, fourth, "all are taken")
	release(t, a)
	d := <-fourth
	has(t, d, 1)
	for _, p := range []*semaphore.Permit{first, b, d} {
		release(t, p)
	}
	left(t, c)
}

// TestALimitThatCanNotBeReadLetsNobodyIn: "4" is larger than any four digits that begin with less.
func TestALimitThatCanNotBeReadLetsNobodyIn(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 4)
	if _, err := c.Put(t.Context(), "/stile/v1/semaphore/x/p/limit", "4"); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 2; n++ {
		_, err := semaphore.TryAcquire(t.Context(), s, "x", n)
		_, waited := semaphore.Acquire(t.Context(), s, "x", n)
		for _, err := range []error{err, waited} {
			if err == nil || !strings.Contains(err.Error(), "can't be read") {
				t.Errorf("%d permits: %v, want to be told that the limit can't be read", n, err)
			}
		}
	}
	if st := inspect(t, c); st.Taken() != 0 || len(st.Waiters) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestLoweringEvictsNobodyAndLetsNobodyIn: until enough are back. Slot 0 is free all the time, which alone would let one in.
func TestLoweringEvictsNobodyAndLetsNobodyIn(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 3)
	zero, one, two := acquire(t, s, 1), acquire(t, s, 1), acquire(t, s, 1)
	release(t, zero)
	limit(t, c, 2)
	for _, p := range []*semaphore.Permit{one, two} {
		if err := p.Err(); err != nil {
			t.Errorf("slot %v was evicted: %v", p.Slots(), err)
		}
	}
	if _, err := semaphore.TryAcquire(t.Context(), s, "x", 1); !errors.Is(err, semaphore.ErrHeld) {
		t.Fatalf("TryAcquire with 2 of 2 taken = %v, want ErrHeld", err)
	}
	next := acquires(t, c, s, 1, 1)
	still(t, next, "2 of 2 are taken")
	release(t, one)
	p := <-next
	has(t, p, 0)
	if st := inspect(t, c); st.Taken() != 2 {
		t.Errorf("%+v, want 2 taken", st)
	}
	keys(t, c, "p/limit", "p/look", "p/s/0000", "p/s/0002") // slot 2 is still taken: it isn't drained
	release(t, two)
	last := acquire(t, s, 1)
	has(t, last, 1)
	keys(t, c, "p/limit", "p/s/0000", "p/s/0001") // whoever has seen it drained says so
	release(t, p)
	release(t, last)
	left(t, c)
}

// keys are those of the semaphore.
func keys(t *testing.T, c *clientv3.Client, want ...string) {
	t.Helper()
	resp, err := c.Get(t.Context(), below, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, kv := range resp.Kvs {
		got = append(got, string(kv.Key[len(below):]))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// TestSetLimitSaysWhetherToLook: p/look is there as long as a slot from the limit on is taken.
func TestSetLimitSaysWhetherToLook(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 3)
	p, q := acquire(t, s, 2), acquire(t, s, 1)
	limit(t, c, 2)
	keys(t, c, "p/limit", "p/look", "p/s/0000", "p/s/0001", "p/s/0002")
	limit(t, c, 3)
	keys(t, c, "p/limit", "p/s/0000", "p/s/0001", "p/s/0002")
	release(t, q)
	limit(t, c, 2)
	keys(t, c, "p/limit", "p/s/0000", "p/s/0001")
	release(t, p)
}

func TestClosedMeansThatAllWait(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 0)
	_, err := semaphore.TryAcquire(t.Context(), s, "x", 1)
	if !errors.Is(err, semaphore.ErrHeld) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("TryAcquire = %v, want ErrHeld that says that it is closed", err)
	}
	first, second := acquires(t, c, s, 1, 1, semaphore.Expect(2)), acquires(t, c, s, 2, 2)
	limit(t, c, 2)
	p := <-first
	still(t, second, "one is taken")
	release(t, p)
	p = <-second
	limit(t, c, 0)
	if err := p.Err(); err != nil {
		t.Errorf("closing evicts: %v", err)
	}
	release(t, p)
	third := acquires(t, c, s, 1, 1)
	limit(t, c, 1)
	release(t, <-third)
	left(t, c)
}

// TestARequestThatIsLargerThanTheLimitLeaves: at once when it comes, and in its turn when the limit has become smaller. Whoever stands behind it goes on.
func TestARequestThatIsLargerThanTheLimitLeaves(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 3)
	held := acquire(t, s, 1)
	large := fails(t, c, s, 3, 1)
	small := acquires(t, c, s, 1, 2)
	for _, get := range []func() error{
		func() error { _, err := semaphore.Acquire(t.Context(), s, "x", 4); return err },
		func() error { _, err := semaphore.TryAcquire(t.Context(), s, "x", 4); return err },
	} {
		if refused, ok := errors.AsType[*semaphore.LimitError](get()); !ok || refused.Asked != 4 || refused.Limit != 3 {
			t.Errorf("4 of 3, while somebody waits: %+v, want a *LimitError", refused)
		}
	}
	limit(t, c, 2)
	if refused, ok := errors.AsType[*semaphore.LimitError](<-large); !ok || refused.Asked != 3 || refused.Limit != 2 {
		t.Errorf("3 of what has become 2: %+v, want a *LimitError", refused)
	}
	release(t, <-small)
	release(t, held)
	if _, ok := errors.AsType[*semaphore.LimitError](errOf(semaphore.Acquire(t.Context(), s, "x", 3))); !ok {
		t.Error("3 of 2, nobody there: want a *LimitError")
	}
	left(t, c)
}

func errOf(_ *semaphore.Permit, err error) error { return err }

func TestNoLimitIsAnErrorAndNoWait(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	for _, n := range []int{1, 2} {
		_, err := semaphore.Acquire(t.Context(), s, "x", n)
		if !errors.Is(err, semaphore.ErrNoLimit) || !strings.Contains(err.Error(), "SetLimit") {
			t.Errorf("Acquire of %d = %v, want ErrNoLimit that says what to do", n, err)
		}
		if _, err := semaphore.TryAcquire(t.Context(), s, "x", n); !errors.Is(err, semaphore.ErrNoLimit) {
			t.Errorf("TryAcquire of %d = %v, want ErrNoLimit", n, err)
		}
	}
	keys(t, c)
	// Somebody has deleted the record while others wait: they are told.
	limit(t, c, 1)
	held := acquire(t, s, 1)
	first, second := fails(t, c, s, 1, 1), fails(t, c, s, 1, 2)
	recipestest.Delete(t, c, below+"p/limit")
	for _, failed := range []<-chan error{first, second} {
		if err := <-failed; !errors.Is(err, semaphore.ErrNoLimit) {
			t.Errorf("a waiter whose limit was deleted: %v, want ErrNoLimit", err)
		}
	}
	release(t, held)
}

func TestALimitThatCannotBeReadIsAnErrorAndCanBeReplaced(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	for _, bad := range []string{"", "4", "0004", "4 {}", "0004 x", "1001 {}", "-001 {}", "000x {}"} {
		if _, err := c.Put(t.Context(), below+"p/limit", bad); err != nil {
			t.Fatal(err)
		}
		if _, err := semaphore.Acquire(t.Context(), s, "x", 2); err == nil || !strings.Contains(err.Error(), "read") {
			t.Errorf("a limit of %q: %v, want an error", bad, err)
		}
		limit(t, c, 0)
	}
}

func TestExpectingAnotherLimitIsRefused(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 3)
	for _, n := range []int{1, 2} {
		for _, expect := range []int{2, 4} {
			_, err1 := semaphore.Acquire(t.Context(), s, "x", n, semaphore.Expect(expect))
			_, err2 := semaphore.TryAcquire(t.Context(), s, "x", n, semaphore.Expect(expect))
			if !errors.Is(err1, semaphore.ErrLimitMismatch) || !errors.Is(err2, semaphore.ErrLimitMismatch) {
				t.Errorf("%d of 3, expecting %d: %v, %v, want ErrLimitMismatch", n, expect, err1, err2)
			}
		}
		p, err := semaphore.Acquire(t.Context(), s, "x", n, semaphore.Expect(3))
		if err != nil {
			t.Fatal(err)
		}
		release(t, p)
	}
	held := acquire(t, s, 3)
	failed := fails(t, c, s, 1, 1, semaphore.Expect(3))
	if _, err := semaphore.Acquire(t.Context(), s, "x", 1, semaphore.Expect(2)); !errors.Is(err, semaphore.ErrLimitMismatch) {
		t.Errorf("behind others: %v, want ErrLimitMismatch at once", err)
	}
	limit(t, c, 5)
	if err := <-failed; !errors.Is(err, semaphore.ErrLimitMismatch) {
		t.Errorf("a waiter whose limit was raised: %v, want ErrLimitMismatch", err)
	}
	release(t, held)
	left(t, c)
}

// TestSettingALimitThatIsSetWritesNothing: each process may do it when it starts, and wakes nobody.
func TestSettingALimitThatIsSetWritesNothing(t *testing.T) {
	c := recipestest.Client(t)
	requests := recipestest.Count(c)
	limit(t, c, 3)
	if requests.Total() != 2 {
		t.Errorf("the first took %d requests, want 2", requests.Total())
	}
	before := revision(t, c)
	n := requests.Total()
	limit(t, c, 3)
	if requests.Total() != n+1 || revision(t, c) != before {
		t.Errorf("the second took %d requests, and wrote %d times; want 1, and nothing", requests.Total()-n, revision(t, c)-before)
	}
}

// revision is that of the last write of the limit.
func revision(t *testing.T, c *clientv3.Client) int64 {
	t.Helper()
	resp, err := c.Get(t.Context(), below+"p/limit")
	if err != nil || len(resp.Kvs) == 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	return resp.Kvs[0].ModRevision
}

func TestANameIsLeasedOrDurable(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	if _, err := c.Put(t.Context(), below+"durable", "{}"); err != nil {
		t.Fatal(err)
	}
	if err := semaphore.SetLimit(t.Context(), c, "x", 3); !errors.Is(err, semaphore.ErrDurable) {
		t.Errorf("SetLimit of a durable one = %v, want ErrDurable", err)
	}
	_, err1 := semaphore.Acquire(t.Context(), s, "x", 1)
	_, err2 := semaphore.TryAcquire(t.Context(), s, "x", 1)
	if !errors.Is(err1, semaphore.ErrDurable) || !errors.Is(err2, semaphore.ErrDurable) {
		t.Errorf("acquiring on a lease what is durable: %v, %v, want ErrDurable", err1, err2)
	}
	keys(t, c, "durable")
}

// TestALookIsGoodUntilSomebodyComes: between the look of one and its taking another takes what it has seen free.
func TestALookIsGoodUntilSomebodyComes(t *testing.T) {
	for what, before := range map[string]func(c *clientv3.Client, other *session.Session) *semaphore.Permit{
		"slots": func(c *clientv3.Client, other *session.Session) *semaphore.Permit {
			limit(t, c, 2)
			return nil
		},
		"lowered": func(c *clientv3.Client, other *session.Session) *semaphore.Permit {
			limit(t, c, 4)
			first, last := acquire(t, other, 3), acquire(t, other, 1)
			limit(t, c, 3)
			release(t, first)
			return last
		},
		"spread": func(c *clientv3.Client, other *session.Session) *semaphore.Permit {
			limit(t, c, 9, semaphore.Spread("rack", 3))
			return acquire(t, other, 1)
		},
	} {
		t.Run(what, func(t *testing.T) {
			p := prefix(t)
			c := recipestest.Namespace(t, p)
			other := open(t, c, in("a"))
			faults := recipestest.NewFaults(t)
			s := open(t, recipestest.Namespace(t, p, faults), in("a"), session.TTL(long))
			held := before(c, other)
			taking := faults.LateRequest(2, recipestest.Silence)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { _, err := semaphore.Acquire(ctx, s, "x", 2); done <- err }()
			<-taking.Held()
			came := acquire(t, other, 1)
			if err := taking.LetThrough(); err != nil {
				t.Fatal(err)
			}
			st := inspect(t, c)
			for _, h := range st.Holders {
				if len(h.Slots) > 1 {
					t.Errorf("by an old look somebody got slots %v: %+v", h.Slots, st)
				}
			}
			if err := came.Err(); err != nil {
				t.Errorf("the one who came has lost its slot: %v", err)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Acquire = %v", err)
			}
			release(t, came)
			if held != nil {
				release(t, held)
			}
			eventually(t, func() (string, bool) {
				st := inspect(t, c)
				return fmt.Sprintf("left: %+v", st), len(st.Holders)+len(st.Waiters) == 0
			})
		})
	}
}
