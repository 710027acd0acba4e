package semaphore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestTakenAndAwayAreTwoThings: whoever waited in vain learns whether others have the permits, or etcd is away. Nothing that is asked while it is away is
// done afterwards.
func TestTakenAndAwayAreTwoThings(t *testing.T) {
	t.Parallel()
	server := recipestest.NewServer(t)
	c := server.Client()
	s := open(t, c)
	limit(t, c, 2)
	held := acquire(t, s, 1)
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	enough, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- errOf(semaphore.Acquire(enough, s, "x", 2)) }()
	waiting(t, c, 1)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || errors.Is(err, session.ErrUnavailable) {
		t.Errorf("taken: %v, want context.Canceled alone", err)
	}
	server.Stop()
	_, inspected := semaphore.Inspect(short(), c, "x")
	for name, err := range map[string]error{
		"Acquire":           errOf(semaphore.Acquire(short(), s, "x", 1)),
		"Acquire of 2":      errOf(semaphore.Acquire(short(), s, "x", 2)),
		"TryAcquire":        errOf(semaphore.TryAcquire(short(), s, "x", 1)),
		"Do":                semaphore.Do(short(), s, "x", 1, func(context.Context) error { return nil }),
		"SetLimit":          semaphore.SetLimit(short(), c, "x", 5),
		"Inspect":           inspected,
		"the wait for none": semaphore.SetLimit(short(), c, "y", 5),
	} {
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrUnknownOutcome) {
			t.Errorf("away: %s: %v, want a deadline exceeded, and ErrUnavailable", name, err)
		}
	}
	server.Start()
	eventually(t, func() (string, bool) {
		st, err := semaphore.Inspect(t.Context(), c, "x")
		return "it does not come back", err == nil && st.Limit == 2 && st.Taken() == 1 && len(st.Waiters) == 0
	})
	if err := held.Err(); err != nil {
		t.Errorf("the permit: %v", err)
	}
	release(t, held)
	limit(t, c, 3)
	release(t, acquire(t, s, 3))
}

// TestAFullEtcdTakesPermitsBack: it refuses to give them out, and to set a limit, with its own error.
func TestAFullEtcdTakesPermitsBack(t *testing.T) {
	t.Parallel()
	server := recipestest.NewServer(t, recipestest.Quota(4<<20))
	c := server.Client()
	s := open(t, c)
	limit(t, c, 3)
	held := acquire(t, s, 2)
	failed := fails(t, c, s, 2, 1)
	server.Fill()
	if err := semaphore.SetLimit(t.Context(), c, "x", 4); err == nil || errors.Is(err, session.ErrUnknownOutcome) || !strings.Contains(err.Error(), "space") {
		t.Errorf("SetLimit = %v, want etcd's refusal", err)
	}
	for _, n := range []int{1, 4} {
		if _, err := semaphore.TryAcquire(t.Context(), s, "x", n); err == nil {
			t.Errorf("a full etcd gives %d permits", n)
		}
	}
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("Release = %v", err)
	}
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "space") {
		t.Errorf("who was next: %v, want etcd's refusal", err)
	}
	if st := inspect(t, c); st.Taken() != 0 {
		t.Errorf("%+v, want nothing taken", st)
	}
}
