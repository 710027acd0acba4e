package rwlock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// TestAcquiringWhatTheContextHoldsIsRefused, in either mode: a reader that wanted to write would wait for itself, and so would a writer.
func TestAcquiringWhatTheContextHoldsIsRefused(t *testing.T) {
	c := recipestest.Client(t)
	s, other := open(t, c), open(t, c)
	noWork := func(context.Context) error { t.Error("the work ran"); return nil }
	refuses := func(ctx context.Context) {
		t.Helper()
		for _, by := range []*session.Session{s, other} {
			_, r := rwlock.AcquireRead(ctx, by, "x")
			_, w := rwlock.AcquireWrite(ctx, by, "x")
			for _, err := range []error{r, w, rwlock.DoRead(ctx, by, "x", noWork), rwlock.DoWrite(ctx, by, "x", noWork)} {
				if !errors.Is(err, rwlock.ErrWouldDeadlock) {
					t.Errorf("it = %v, want ErrWouldDeadlock", err)
				}
			}
		}
	}
	w := write(t, s, "x")
	refuses(w.Context())
	r, err := w.Downgrade(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refuses(r.Context())
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
	w, err = rwlock.AcquireWrite(context.WithoutCancel(r.Context()), s, "x") // what has ended does not count
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Release(t.Context())
	left(t, c)
}

// TestAReaderDoesNotWaitForALaterWriter: whoever came later is behind it, or they would wait for each other.
func TestAReaderDoesNotWaitForALaterWriter(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	first := write(t, s, "x")
	read, wrote := make(chan *rwlock.Read, 1), make(chan *rwlock.Write, 1)
	go func() {
		r, err := rwlock.AcquireRead(t.Context(), s, "x")
		if err != nil {
			t.Error(err)
		}
		read <- r
	}()
	waiting(t, c, 1)
	go func() {
		w, err := rwlock.AcquireWrite(t.Context(), s, "x")
		if err != nil {
			t.Error(err)
		}
		wrote <- w
	}()
	waiting(t, c, 2)
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-read:
		if err := r.Release(t.Context()); err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the reader waits for the writer behind it")
	}
	_ = (<-wrote).Release(t.Context())
	left(t, c)
}

// TestAReaderIsKeptWhenTheWriterHasGone: the lease that both are on goes on to be renewed, and a repeated release of the writer's touches nobody.
func TestAReaderIsKeptWhenTheWriterHasGone(t *testing.T) {
	c := recipestest.Client(t)
	requests := recipestest.Count(c)
	s, err := session.Open(t.Context(), c, session.TTL(2*time.Second), session.Margin(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	w := write(t, s, "x")
	r, err := w.Downgrade(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Release(t.Context())
	renewed := requests.KeepAlives.Load()
	eventually(t, func() (string, bool) { // three of a TTL: it would have ended by itself
		return "the lease is not renewed", requests.KeepAlives.Load() >= renewed+4
	})
	if err := r.Err(); err != nil {
		t.Errorf("the reader: %v", err)
	}
	if _, err := r.Txn(t.Context()).Then(clientv3.OpGet("k")).Commit(); err != nil {
		t.Errorf("the reader: %v", err)
	}
	_ = w.Release(t.Context())
	if _, err := rwlock.TryAcquireWrite(t.Context(), open(t, c), "x"); !errors.Is(err, rwlock.ErrHeld) {
		t.Errorf("TryAcquireWrite beside it = %v, want ErrHeld", err)
	}
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
	left(t, c)
}

// TestALateReleaseTouchesNobodyElse: places' names are used again, and a copy of a release may arrive during the next hold.
func TestALateReleaseTouchesNobodyElse(t *testing.T) {
	for name, acquire := range map[string]func(s *session.Session) hold{
		"a writer": func(s *session.Session) hold { return write(t, s, "x") },
		"a reader": func(s *session.Session) hold {
			r, err := rwlock.AcquireRead(t.Context(), s, "x")
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			faults := recipestest.NewFaults(t)
			c := recipestest.Namespace(t, t.Name())
			s := open(t, recipestest.Namespace(t, t.Name(), faults))
			first := acquire(s)
			late := faults.LateRequest(1, recipestest.Reset)
			if err := first.Release(t.Context()); err != nil { // in a second attempt
				t.Fatal(err)
			}
			next := acquire(s)
			if err := late.LetThrough(); err != nil {
				t.Fatal(err)
			}
			if _, err := next.Txn(t.Context()).Then(clientv3.OpGet("k")).Commit(); err != nil {
				t.Errorf("the next holder's Txn: %v", err)
			}
			if err := next.Release(t.Context()); err != nil {
				t.Error(err)
			}
			left(t, c)
		})
	}
}
