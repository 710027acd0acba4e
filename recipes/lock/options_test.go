package lock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestOptionsAreChecked: what makes no sense is refused before anything is sent.
func TestOptionsAreChecked(t *testing.T) {
	s, r := counted(t, fmt.Sprintf("%s %d", t.Name(), runs.Add(1)))
	work := func(context.Context) error { t.Error("work runs"); return nil }
	for want, opt := range map[string]lock.Option{
		"MaxHold(0s)":        lock.MaxHold(0),
		"MaxHold(-1s)":       lock.MaxHold(-time.Second),
		"Delay(0s)":          lock.Delay(0),
		"Delay(24h0m0.001s)": lock.Delay(24*time.Hour + time.Millisecond),
		"MinHold(-1ns)":      lock.MinHold(-1),
		"MinHold(25h0m0s)":   lock.MinHold(25 * time.Hour),
		"Position":           lock.Position(nil),
	} {
		for _, err := range []error{
			second(lock.Acquire(t.Context(), s, "x", nil, opt)), second(lock.TryAcquire(t.Context(), s, "x", opt)),
			lock.Do(t.Context(), s, "x", work, opt), lock.TryDo(t.Context(), s, "x", work, opt),
		} {
			if err == nil || !strings.Contains(err.Error(), `lock "x": `+want) {
				t.Errorf("%v, want an error about %s", err, want)
			}
		}
	}
	expect(t, "bad options", r, 0, 0, 0)
}

// TestAHoldEndsAtItsLongest: its context says so, and the next one has the lock.
func TestAHoldEndsAtItsLongest(t *testing.T) {
	for name, get := range tries {
		if get.held {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := recipestest.Client(t)
			s := open(t, c)
			held, err := get.acquire(t.Context(), s, "x", lock.MaxHold(50*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			next := receive(t, acquires(t, open(t, c))) // nobody has released it
			if err := held.Err(); !errors.Is(err, session.ErrMaxHold) || !errors.Is(err, session.ErrLost) {
				t.Errorf("Err = %v, want ErrMaxHold, and ErrLost", err)
			}
			if err := held.Release(t.Context()); !errors.Is(err, session.ErrMaxHold) {
				t.Errorf("Release = %v, want ErrMaxHold", err)
			}
			release(t, next)
		})
	}
}

// TestWorkAtItsLongestIsJoined: the lock is given back when work has returned, not before.
func TestWorkAtItsLongestIsJoined(t *testing.T) {
	c := recipestest.Client(t)
	s, other := open(t, c), open(t, c)
	err := lock.Do(t.Context(), s, "x", func(ctx context.Context) error {
		<-ctx.Done()
		if _, err := lock.TryAcquire(t.Context(), other, "x"); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("while it works: %v, want ErrHeld", err)
		}
		return nil
	}, lock.MaxHold(50*time.Millisecond))
	if !errors.Is(err, session.ErrMaxHold) {
		t.Errorf("Do = %v, want ErrMaxHold", err)
	}
	held, err := lock.TryAcquire(t.Context(), other, "x")
	if err != nil {
		t.Fatal(err)
	}
	release(t, held)
}

// TestAHoldThatIsReleasedBeforeItsLongest: nothing ends later.
func TestAHoldThatIsReleasedBeforeItsLongest(t *testing.T) {
	s := open(t, recipestest.Client(t))
	held, err := lock.Acquire(t.Context(), s, "x", lock.MaxHold(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	release(t, held)
	if err := held.Err(); !errors.Is(err, session.ErrReleased) || errors.Is(err, session.ErrMaxHold) {
		t.Errorf("Err = %v, want ErrReleased", err)
	}
}

// TestALockIsKeptForTheShortestHold: even if it is released, or the session closed, until etcd's lease is over.
func TestALockIsKeptForTheShortestHold(t *testing.T) {
	each(t, map[string]struct {
		opts []lock.Option
		give func(t *testing.T, s *session.Session, held *lock.Held) error
		wait bool // somebody does meanwhile
	}{
		"Release": {nil, func(t *testing.T, _ *session.Session, held *lock.Held) error {
			t.Helper()
			return held.Release(t.Context())
		}, false},
		"Release to a waiter": {nil, func(t *testing.T, _ *session.Session, held *lock.Held) error {
			t.Helper()
			return held.Release(t.Context())
		}, true},
		"Close":                {nil, func(t *testing.T, s *session.Session, _ *lock.Held) error { t.Helper(); return s.Close(t.Context()) }, false},
		"Close, with a waiter": {nil, func(t *testing.T, s *session.Session, _ *lock.Held) error { t.Helper(); return s.Close(t.Context()) }, true},
		"with Delay": {
			[]lock.Option{lock.Delay(time.Hour)},
			func(t *testing.T, _ *session.Session, held *lock.Held) error {
				t.Helper()
				return held.Release(t.Context())
			}, true,
		},
	}, func(t *testing.T, c struct {
		opts []lock.Option
		give func(t *testing.T, s *session.Session, held *lock.Held) error
		wait bool
	},
	) {
		t.Helper()
		client := recipestest.Client(t)
		s, last := open(t, client), open(t, client)
		held, err := lock.TryAcquire(t.Context(), s, "x", append(c.opts, lock.MinHold(2*time.Second))...)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{keptMin}
		if c.opts != nil {
			want = []string{keptAfter, keptMin}
		}
		if keys := keeping(t, client); !slices.Equal(keys, want) {
			t.Errorf("%q while it is held, want %q", keys, want)
		}
		if st, err := lock.Inspect(t.Context(), client, "x"); err != nil || st.Holder == nil || st.Kept != nil {
			t.Errorf("%+v, %v, want a holder: the lock is not kept after another one", st, err)
		}
		get := func(ctx context.Context) (*lock.Held, error) { return lock.Acquire(ctx, last, "x") }
		var got <-chan *lock.Held
		n := 0
		if c.wait {
			got, n = heir(t.Context(), t, client, get), 1
			waiters(t, client, "x", 1)
		}
		if err := c.give(t, s, held); err != nil {
			t.Fatal(err)
		}
		(&inheritance{T: t, client: client, held: held}).kept(n)
		if keys := keeping(t, client); !slices.Equal(keys, []string{keptMin}) {
			t.Errorf("%q after it, want that of the shortest hold", keys)
		}
		if !c.wait {
			if _, err := lock.TryAcquire(t.Context(), last, "x"); !isKept(err, held) {
				t.Errorf("TryAcquire = %v, want that it is kept", err)
			}
			got = heir(t.Context(), t, client, get)
		}
		release(t, receive(t, got))
	})
}

// TestAShortestHoldThatIsOverKeepsNothing: the next one has it at once.
func TestAShortestHoldThatIsOverKeepsNothing(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held, err := lock.Acquire(t.Context(), s, "x", lock.MinHold(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shortest hold is over", func() bool { return len(keeping(t, c)) == 0 })
	got := acquires(t, open(t, c))
	waiters(t, c, "x", 1)
	release(t, held)
	release(t, receive(t, got))
}

// TestPosition: who waits is told who is in front, and nothing after it has the lock.
func TestPosition(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	held := acquire(t, s, "x")
	next := acquires(t, open(t, c))
	waiters(t, c, "x", 1)
	told := make(chan int, 10)
	got := make(chan *lock.Held, 1)
	go func() {
		last, err := lock.Acquire(t.Context(), s, "x", lock.Position(func(ahead int) { told <- ahead }))
		if err != nil {
			t.Error(err)
		}
		close(told) // panics if it is called later
		got <- last
	}()
	if ahead := <-told; ahead != 2 {
		t.Errorf("%d in front, want the holder and one who waits", ahead)
	}
	release(t, held)
	held = receive(t, next)
	if ahead := <-told; ahead != 1 {
		t.Errorf("%d in front, want the holder", ahead)
	}
	release(t, held)
	release(t, receive(t, got))
}
