package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestAWatchTellsWhatHappens: from the present state to the end, through a compaction and a restart.
func TestAWatchTellsWhatHappens(t *testing.T) {
	server := recipestest.NewServer(t)
	c := server.Client()
	s := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	states, ended := make(chan lock.State), make(chan error, 1)
	go func() {
		defer close(states)
		for state, err := range lock.Watch(ctx, c, "x") {
			if err != nil {
				ended <- err
				return
			}
			states <- state
		}
	}()
	next := func(what string, so func(lock.State) bool) {
		t.Helper()
		select {
		case state := <-states:
			if !so(state) {
				t.Errorf("%s: got %+v", what, state)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it was never told", what)
		}
	}
	free := func(s lock.State) bool { return s.Holder == nil && s.Name == "x" }
	next("before anybody comes", free)
	first := acquire(t, s, "x")
	by := func(h *lock.Held, waiters int) func(lock.State) bool {
		return func(s lock.State) bool {
			return s.Holder != nil && s.Holder.Token == h.Token() && len(s.Waiters) == waiters
		}
	}
	next("the first holds", by(first, 0))
	got := make(chan *lock.Held, 1)
	go func() {
		h, err := lock.Acquire(t.Context(), s, "x")
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	next("somebody waits", by(first, 1))
	release(t, first)
	second := <-got
	next("the second holds", by(second, 0))
	recipestest.Compact(t, c)
	server.Stop()
	server.Start()
	release(t, second)
	next("free again", free)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestAWatchRefusesWhatCanNeverBe(t *testing.T) {
	for _, err := range lock.Watch(t.Context(), recipestest.Client(t), "a#b") {
		if !errors.Is(err, session.ErrBadName) {
			t.Errorf("got %v, want ErrBadName", err)
		}
	}
	for _, err := range lock.Watch(t.Context(), nil, "a") {
		if err == nil {
			t.Error("a nil client: no error")
		}
	}
}
