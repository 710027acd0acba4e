package lock_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// patience is that of the callers, and what cleaning up has beyond it.
const patience = 100 * time.Millisecond

// An outage is a way in which etcd can be away. It makes clients of a server, and then takes the server away.
type outage func(t *testing.T) (client func() *clientv3.Client, begin func())

var outages = map[string]outage{
	"stopped": func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		srv := recipestest.NewServer(t)
		return func() *clientv3.Client { return srv.Client() }, srv.Stop
	},
	"frozen": func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		srv := recipestest.NewProcess(t)
		return func() *clientv3.Client { return srv.Client() }, srv.Freeze
	},
	"connections refused": func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		p := recipestest.NewProxy(t, recipestest.Endpoint(t))
		return func() *clientv3.Client { return recipestest.Client(t, p) }, func() { p.Cut(recipestest.Reset) }
	},
	"connections swallowed": func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		p := recipestest.NewProxy(t, recipestest.Endpoint(t))
		return func() *clientv3.Client { return recipestest.Client(t, p) }, func() { p.Cut(recipestest.Silence) }
	},
	"answers swallowed": func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		p := recipestest.NewProxy(t, recipestest.Endpoint(t))
		return func() *clientv3.Client { return recipestest.Client(t, p) }, func() { p.Hold(recipestest.ToClient) }
	},
}

// TestNoCallOutlivesItsContext: every call of session and lock returns, whatever etcd does, and says whose time ran out.
func TestNoCallOutlivesItsContext(t *testing.T) {
	t.Parallel()
	each(t, outages, func(t *testing.T, away outage) { //nolint:thelper // the body of a subtest
		client, begin := away(t)
		c := client()
		s, second := impatient(t, c, true), impatient(t, c, true)
		unused := impatient(t, client(), false) // its client was never connected
		held := acquire(t, s, "x")
		acquire(t, second, "second")
		waiter := inBackground(t, func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "x"); return err })
		waiters(t, c, "x", 1)
		works := make(chan struct{})
		worker := inBackground(t, func(ctx context.Context) error {
			return lock.Do(ctx, s, "work", func(ctx context.Context) error { close(works); <-ctx.Done(); return nil })
		})
		<-works
		begin()

		calls := callsOf(t, c, s, held)
		calls["Open of a fresh client"] = func(ctx context.Context) error { _, err := session.Open(ctx, client()); return err }
		calls["Start"] = unused.Start
		calls["Acquire without a lease"] = func(ctx context.Context) error { _, err := lock.Acquire(ctx, unused, "x"); return err }
		bounded(t, calls)
		within(t, grace, "ending a wait", func() {
			if err := waiter(); !errors.Is(err, context.Canceled) {
				t.Errorf("a waiter: %v, want context.Canceled", err)
			}
		})
		over, cancel := context.WithCancel(t.Context())
		cancel()
		unknown(t, "Do, whose ctx ended with etcd away", worker)
		unknown(t, "Release", func() error { return held.Release(over) })
		unknown(t, "Close", func() error { return s.Close(over) })
		unknown(t, "Close again", func() error { return s.Close(over) })
		unknown(t, "Close with a ctx that does not end", func() error { return second.Close(context.Background()) })
		within(t, 2*patience+grace, "Close without a lease", func() { _ = unused.Close(context.Background()) })
	})
}

// impatient is a session that cleans up for a moment only.
func impatient(t *testing.T, c *clientv3.Client, start bool) *session.Session {
	t.Helper()
	s, err := session.New(c, session.CleanupTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	if start {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// inBackground calls, until stop ends the call's ctx.
func inBackground(t *testing.T, call func(ctx context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// callsOf are all that have a ctx, except those that clean up.
func callsOf(t *testing.T, c *clientv3.Client, s *session.Session, held *lock.Held) map[string]func(ctx context.Context) error {
	t.Helper()
	noWork := func(context.Context) error { t.Error("the work ran"); return nil }
	return map[string]func(ctx context.Context) error{
		"Open":                  func(ctx context.Context) error { _, err := session.Open(ctx, c); return err },
		"Acquire":               func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "y"); return err },
		"Acquire of a held one": func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "x"); return err },
		"TryAcquire":            func(ctx context.Context) error { _, err := lock.TryAcquire(ctx, s, "z"); return err },
		"Do":                    func(ctx context.Context) error { return lock.Do(ctx, s, "v", noWork) },
		"TryDo":                 func(ctx context.Context) error { return lock.TryDo(ctx, s, "w", noWork) },
		"AcquireAll":            func(ctx context.Context) error { _, err := lock.AcquireAll(ctx, s, "a", "b"); return err },
		"Inspect":               func(ctx context.Context) error { _, err := lock.Inspect(ctx, c, "x"); return err },
		"List":                  func(ctx context.Context) error { _, err := lock.List(ctx, c); return err },
		"Watch": func(ctx context.Context) error {
			for _, err := range lock.Watch(ctx, c, "x") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Txn": func(ctx context.Context) error {
			_, err := held.Txn(ctx).Then(clientv3.OpPut("k", "v")).Commit()
			return err
		},
	}
}

var errMine = errors.New("my patience ran out")

// bounded makes all calls at once. Each is to fail with its ctx's error and cause, soon after its ctx has ended.
func bounded(t *testing.T, calls map[string]func(ctx context.Context) error) {
	t.Helper()
	type answer struct {
		of  string
		err error
	}
	answers := make(chan answer, len(calls))
	running := map[string]bool{}
	limit := time.After(patience + 10*grace)
	for name, call := range calls {
		running[name] = true
		go func() {
			ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errMine)
			defer cancel()
			answers <- answer{name, call(ctx)}
		}()
	}
	for len(running) > 0 {
		select {
		case a := <-answers:
			delete(running, a.of)
			wantOwnEnd(t, a.of, a.err)
		case <-limit:
			t.Fatalf("they go on after their ctx of %v has ended: %v", patience, slices.Collect(maps.Keys(running)))
		}
	}
}

func wantOwnEnd(t *testing.T, call string, err error) {
	t.Helper()
	if call == "Txn" && errors.Is(err, session.ErrUnknownOutcome) {
		return // it is sent once, and the connection may break under it
	}
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errMine) {
		t.Errorf("%s = %v, want its ctx's error and cause", call, err)
	}
	if !errors.Is(err, session.ErrUnavailable) && call != "Watch" { // which waits for etcd to come back
		t.Errorf("%s = %v, want to be told that etcd is away", call, err)
	}
	if errors.Is(err, lock.ErrHeld) || errors.Is(err, session.ErrLost) || errors.Is(err, session.ErrClosed) {
		t.Errorf("%s = %v: it can't know that", call, err)
	}
}

// unknown makes a call that goes on for the cleanup timeout when its ctx has ended.
func unknown(t *testing.T, what string, call func() error) {
	t.Helper()
	within(t, 2*patience+grace, what, func() {
		if err := call(); !errors.Is(err, session.ErrUnknownOutcome) {
			t.Errorf("%s = %v, want ErrUnknownOutcome", what, err)
		}
	})
}
