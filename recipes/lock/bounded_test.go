package lock_test

import (
	"context"
	"errors"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/outages"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// patience is that of the callers, and what cleaning up has beyond it.
const patience = outages.Patience

// TestNoCallOutlivesItsContext: every call of session and lock returns, whatever etcd does, and says whose time ran out.
func TestNoCallOutlivesItsContext(t *testing.T) {
	t.Parallel()
	outages.Each(t, func(t *testing.T, client func() *clientv3.Client, begin func()) { //nolint:thelper // the body of a subtest
		c := client()
		s, second := outages.Impatient(t, c, true), outages.Impatient(t, c, true)
		unused := outages.Impatient(t, client(), false) // its client was never connected
		held := acquire(t, s, "x")
		acquire(t, second, "second")
		waiter := outages.InBackground(t, func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "x"); return err })
		waiters(t, c, "x", 1)
		set := outages.InBackground(t, func(ctx context.Context) error { _, err := lock.AcquireAll(ctx, s, "u", "second"); return err })
		waiters(t, c, "second", 1) // at the head of the one line, and not of the other
		works := make(chan struct{})
		worker := outages.InBackground(t, func(ctx context.Context) error {
			return lock.Do(ctx, s, "work", func(ctx context.Context) error { close(works); <-ctx.Done(); return nil })
		})
		<-works
		begin()

		calls := callsOf(t, c, s, held)
		calls["Open of a fresh client"] = func(ctx context.Context) error { _, err := session.Open(ctx, client()); return err }
		calls["Start"] = unused.Start
		calls["Acquire without a lease"] = func(ctx context.Context) error { _, err := lock.Acquire(ctx, unused, "x"); return err }
		calls["AcquireAll without a lease"] = func(ctx context.Context) error { _, err := lock.AcquireAll(ctx, unused, "x", "y"); return err }
		outages.Bounded(t, calls)
		for what, stop := range map[string]func() error{"a waiter": waiter, "one that waits for several": set} {
			outages.Within(t, grace, "ending the wait of "+what, func() {
				if err := stop(); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v, want context.Canceled", what, err)
				}
			})
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		outages.Unknown(t, "Do, whose ctx ended with etcd away", worker)
		outages.Unknown(t, "Release", func() error { return held.Release(over) })
		outages.Unknown(t, "Close", func() error { return s.Close(over) })
		outages.Unknown(t, "Close again", func() error { return s.Close(over) })
		outages.Unknown(t, "Close with a ctx that does not end", func() error { return second.Close(context.Background()) })
		outages.Within(t, 2*patience+grace, "Close without a lease", func() { _ = unused.Close(context.Background()) })
	})
}

// callsOf are all that have a ctx, except those that clean up.
func callsOf(t *testing.T, c *clientv3.Client, s *session.Session, held *lock.Held) map[string]func(ctx context.Context) error {
	t.Helper()
	noWork := func(context.Context) error { t.Error("the work ran"); return nil }
	return map[string]func(ctx context.Context) error{
		"Open":                       func(ctx context.Context) error { _, err := session.Open(ctx, c); return err },
		"Acquire":                    func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "y"); return err },
		"Acquire of a held one":      func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "x"); return err },
		"TryAcquire":                 func(ctx context.Context) error { _, err := lock.TryAcquire(ctx, s, "z"); return err },
		"Do":                         func(ctx context.Context) error { return lock.Do(ctx, s, "v", noWork) },
		"TryDo":                      func(ctx context.Context) error { return lock.TryDo(ctx, s, "w", noWork) },
		"AcquireAll":                 func(ctx context.Context) error { _, err := lock.AcquireAll(ctx, s, "a", "b"); return err },
		"AcquireAll, one of it held": func(ctx context.Context) error { _, err := lock.AcquireAll(ctx, s, "c", "x"); return err },
		"Inspect":                    func(ctx context.Context) error { _, err := lock.Inspect(ctx, c, "x"); return err },
		"List":                       func(ctx context.Context) error { _, err := lock.List(ctx, c); return err },
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
