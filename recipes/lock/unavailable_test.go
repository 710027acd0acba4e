package lock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestHeldAndAwayAreTwoThings: whoever waited in vain learns whether somebody holds the lock, or etcd is away.
func TestHeldAndAwayAreTwoThings(t *testing.T) {
	server := recipestest.NewServer(t)
	s := open(t, server.Client())
	acquire(t, s, "x")
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	_, err := lock.Acquire(short(), s, "x")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, session.ErrUnavailable) || !strings.Contains(err.Error(), "waiting in line") {
		t.Errorf("held: %v, want a deadline exceeded while waiting in line", err)
	}
	server.Stop()
	defer server.Start() // so that the session can close
	for name, err := range map[string]error{
		"Acquire":    second(lock.Acquire(short(), s, "y")),
		"TryAcquire": second(lock.TryAcquire(short(), s, "y")),
		"Inspect":    second(lock.Inspect(short(), server.Client(), "y")),
	} {
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("away: %s: %v, want a deadline exceeded, and ErrUnavailable", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTheCauseOfTheContextIsToldAtOnce(t *testing.T) {
	s := open(t, recipestest.Client(t))
	errStop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	if _, err := lock.Acquire(ctx, s, "x"); !errors.Is(err, errStop) || !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire = %v, want the cause, and context.Canceled", err)
	}
}

func TestABadNameCanBeTold(t *testing.T) {
	s := open(t, recipestest.Client(t))
	if _, err := lock.Acquire(t.Context(), s, "a#b"); !errors.Is(err, session.ErrBadName) {
		t.Errorf("Acquire = %v, want ErrBadName", err)
	}
}
