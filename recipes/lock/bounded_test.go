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

const (
	patience = 100 * time.Millisecond // of the callers, and what cleaning up has beyond it
	grace    = 250 * time.Millisecond // what a call may take beyond its ctx
)

// outages are the ways in which etcd can be away. Each returns a client of a server, and what takes the server away.
var outages = map[string]func(t *testing.T) (client func() *clientv3.Client, begin func()){
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
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, begin := outage(t)
			c := client()
			fresh := client() // has never been connected
			s, err := session.Open(t.Context(), c, session.CleanupTimeout(patience))
			if err != nil {
				t.Fatal(err)
			}
			second, err := session.Open(t.Context(), c, session.CleanupTimeout(patience))
			if err != nil {
				t.Fatal(err)
			}
			unused, err := session.New(fresh, session.CleanupTimeout(patience))
			if err != nil {
				t.Fatal(err)
			}
			held := acquire(t, s, "x")
			acquire(t, second, "second")
			waiting, stopWaiting := context.WithCancel(t.Context())
			waiter := make(chan error, 1)
			go func() { _, err := lock.Acquire(waiting, s, "x"); waiter <- err }()
			working, stopWork := context.WithCancel(t.Context())
			worker, works := make(chan error, 1), make(chan struct{})
			go func() {
				worker <- lock.Do(working, s, "work", func(ctx context.Context) error { close(works); <-ctx.Done(); return nil })
			}()
			<-works
			waiters(t, c, "x", 1)
			begin()

			noWork := func(context.Context) error { t.Error("the work ran"); return nil }
			bounded(t, map[string]func(ctx context.Context) error{
				"Acquire":               func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "y"); return err },
				"Acquire of a held one": func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "x"); return err },
				"TryAcquire":            func(ctx context.Context) error { _, err := lock.TryAcquire(ctx, s, "z"); return err },
				"Do":                    func(ctx context.Context) error { return lock.Do(ctx, s, "v", noWork) },
				"TryDo":                 func(ctx context.Context) error { return lock.TryDo(ctx, s, "w", noWork) },
				"Inspect":               func(ctx context.Context) error { _, err := lock.Inspect(ctx, c, "x"); return err },
				"List":                  func(ctx context.Context) error { _, err := lock.List(ctx, c); return err },
				"Start":                 unused.Start,
				"Acquire without a lease": func(ctx context.Context) error {
					_, err := lock.Acquire(ctx, unused, "x")
					return err
				},
				"Open": func(ctx context.Context) error { _, err := session.Open(ctx, c); return err },
				"Open of a fresh client": func(ctx context.Context) error {
					_, err := session.Open(ctx, fresh)
					return err
				},
				"Txn": func(ctx context.Context) error {
					_, err := held.Txn(ctx).Then(clientv3.OpPut("k", "v")).Commit()
					return err
				},
			})
			within(t, grace, "ending a wait", func() {
				stopWaiting()
				if err := <-waiter; !errors.Is(err, context.Canceled) {
					t.Errorf("a waiter: %v, want context.Canceled", err)
				}
			})
			cleaningUp(t, held, s, func() error { stopWork(); return <-worker })
			within(t, 2*patience+grace, "Close with a ctx that does not end", func() {
				if err := second.Close(context.Background()); !errors.Is(err, session.ErrUnknownOutcome) {
					t.Errorf("Close = %v, want ErrUnknownOutcome", err)
				}
			})
			within(t, 2*patience+grace, "Close of a session that never had a lease", func() { _ = unused.Close(context.Background()) })
		})
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
	if errors.Is(err, lock.ErrHeld) || errors.Is(err, session.ErrLost) || errors.Is(err, session.ErrClosed) {
		t.Errorf("%s = %v: it can't know that", call, err)
	}
}

// cleaningUp calls what goes on for the cleanup timeout when its ctx has ended.
func cleaningUp(t *testing.T, held *lock.Held, s *session.Session, endWork func() error) {
	t.Helper()
	unknown := func(what string, call func() error) {
		t.Helper()
		within(t, patience+grace, what, func() {
			if err := call(); !errors.Is(err, session.ErrUnknownOutcome) {
				t.Errorf("%s = %v, want ErrUnknownOutcome", what, err)
			}
		})
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	unknown("Do, whose ctx ended with etcd away", endWork)
	unknown("Release", func() error { return held.Release(over) })
	unknown("Close", func() error { return s.Close(over) })
	unknown("Close again", func() error { return s.Close(over) })
}
