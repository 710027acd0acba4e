package rwlock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/outages"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// TestNoCallOutlivesItsContext: every call returns, whatever etcd does, and says whose time ran out.
func TestNoCallOutlivesItsContext(t *testing.T) {
	t.Parallel()
	outages.Each(t, func(t *testing.T, client func() *clientv3.Client, begin func()) { //nolint:thelper // the body of a subtest
		c := client()
		s := outages.Impatient(t, c, true)
		unused := outages.Impatient(t, client(), false)
		held, other := write(t, s, "x"), write(t, s, "down")
		r, err := rwlock.AcquireRead(t.Context(), s, "r")
		if err != nil {
			t.Fatal(err)
		}
		stops := map[string]func() error{}
		for i, get := range map[int]func(ctx context.Context) error{
			1: func(ctx context.Context) error { _, err := rwlock.AcquireWrite(ctx, s, "x"); return err }, // at the head
			2: func(ctx context.Context) error { _, err := rwlock.AcquireRead(ctx, s, "x"); return err },  // and behind it, or before
		} {
			stops[fmt.Sprint("waiter ", i)] = outages.InBackground(t, get)
		}
		waiting(t, c, 2)
		works := make(chan struct{})
		worker := outages.InBackground(t, func(ctx context.Context) error {
			return rwlock.DoRead(ctx, s, "work", func(ctx context.Context) error { close(works); <-ctx.Done(); return nil })
		})
		<-works
		begin()

		calls := callsOf(t, c, s, held, r)
		calls["AcquireRead without a lease"] = func(ctx context.Context) error { _, err := rwlock.AcquireRead(ctx, unused, "x"); return err }
		outages.Bounded(t, calls)
		downgrade(t, other)
		for what, stop := range stops {
			outages.Within(t, outages.Grace, "ending the wait of "+what, func() {
				if err := stop(); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v, want context.Canceled", what, err)
				}
			})
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		outages.Unknown(t, "DoRead, whose ctx ended with etcd away", worker)
		outages.Unknown(t, "Release of a writer", func() error { return held.Release(over) })
		outages.Unknown(t, "Release of a reader", func() error { return r.Release(over) })
		outages.Unknown(t, "Close", func() error { return s.Close(over) })
		outages.Within(t, 2*outages.Patience+outages.Grace, "Close without a lease", func() { _ = unused.Close(context.Background()) })
	})
}

// downgrade is bounded by its ctx, and says that the outcome is not known.
func downgrade(t *testing.T, w *rwlock.Write) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), outages.Patience)
	defer cancel()
	outages.Within(t, outages.Patience+outages.Grace, "Downgrade", func() {
		if _, err := w.Downgrade(ctx); !errors.Is(err, session.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Downgrade = %v, want ErrUnknownOutcome and its ctx's error", err)
		}
	})
	if err := w.Err(); !errors.Is(err, session.ErrReleased) {
		t.Errorf("what was downgraded: %v, want ErrReleased", err)
	}
}

// callsOf are all that have a ctx, except those that clean up, and Downgrade.
func callsOf(t *testing.T, c *clientv3.Client, s *session.Session, w *rwlock.Write, r *rwlock.Read) map[string]func(ctx context.Context) error {
	t.Helper()
	noWork := func(context.Context) error { t.Error("the work ran"); return nil }
	return map[string]func(ctx context.Context) error{
		"AcquireRead":                func(ctx context.Context) error { _, err := rwlock.AcquireRead(ctx, s, "a"); return err },
		"AcquireRead beside another": func(ctx context.Context) error { _, err := rwlock.AcquireRead(ctx, s, "r"); return err },
		"AcquireRead of a held one":  func(ctx context.Context) error { _, err := rwlock.AcquireRead(ctx, s, "x"); return err },
		"AcquireWrite":               func(ctx context.Context) error { _, err := rwlock.AcquireWrite(ctx, s, "b"); return err },
		"AcquireWrite of a held one": func(ctx context.Context) error { _, err := rwlock.AcquireWrite(ctx, s, "r"); return err },
		"TryAcquireRead":             func(ctx context.Context) error { _, err := rwlock.TryAcquireRead(ctx, s, "c"); return err },
		"TryAcquireWrite":            func(ctx context.Context) error { _, err := rwlock.TryAcquireWrite(ctx, s, "d"); return err },
		"DoRead":                     func(ctx context.Context) error { return rwlock.DoRead(ctx, s, "e", noWork) },
		"DoWrite":                    func(ctx context.Context) error { return rwlock.DoWrite(ctx, s, "f", noWork) },
		"Inspect":                    func(ctx context.Context) error { _, err := rwlock.Inspect(ctx, c, "x"); return err },
		"List":                       func(ctx context.Context) error { _, err := rwlock.List(ctx, c); return err },
		"Watch": func(ctx context.Context) error {
			for _, err := range rwlock.Watch(ctx, c, "x") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Txn": func(ctx context.Context) error {
			_, err := w.Txn(ctx).Then(clientv3.OpPut("k", "v")).Commit()
			return err
		},
		"Txn, a reader's": func(ctx context.Context) error {
			_, err := r.Txn(ctx).Then(clientv3.OpGet("k")).Commit()
			return err
		},
	}
}
