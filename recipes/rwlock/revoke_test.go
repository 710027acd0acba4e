package rwlock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// TestAllWhoHoldAreAsked: each reader once, and whoever waits gets in when they have left.
func TestAllWhoHoldAreAsked(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	var readers []*rwlock.Read
	for range 3 {
		r, err := rwlock.AcquireRead(t.Context(), s, "x")
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	wrote := make(chan *rwlock.Write)
	go func() {
		w, err := rwlock.AcquireWrite(t.Context(), s, "x")
		if err != nil {
			t.Error(err)
		}
		wrote <- w
	}()
	waiting(t, c, 1)
	st, err := rwlock.Inspect(t.Context(), c, "x")
	if err != nil || len(st.Readers) != 3 {
		t.Fatalf("Inspect = %+v, %v", st, err)
	}
	if err := rwlock.Revoke(t.Context(), c, "x", "one", 0, rwlock.ID(st.Readers[1].ID), rwlock.By("ops")); err != nil {
		t.Fatal(err)
	}
	<-readers[1].Context().Done()
	eventually(t, func() (string, bool) {
		st, err := rwlock.Inspect(t.Context(), c, "x")
		return "it was not given back", err == nil && len(st.Readers) == 2
	})
	if readers[0].Err() != nil || readers[2].Err() != nil {
		t.Errorf("the others: %v, %v; they were not asked", readers[0].Err(), readers[2].Err())
	}
	if err := rwlock.Revoke(t.Context(), c, "x", "all", time.Millisecond, rwlock.By("ops")); err != nil {
		t.Fatal(err)
	}
	w := <-wrote
	for i, r := range readers {
		var revoked *session.RevokedError
		if err := context.Cause(r.Context()); !errors.As(err, &revoked) {
			t.Errorf("reader %d ended with %v, want a RevokedError", i, err)
		}
	}
	if err := rwlock.Force(t.Context(), c, "x", "the writer too"); err != nil {
		t.Fatal(err)
	}
	<-w.Context().Done()
	if st, err := rwlock.Inspect(t.Context(), c, "x"); err != nil || st.Writer != nil || len(st.Readers) > 0 || len(st.Revoked) != 4 {
		t.Errorf("Inspect = %+v, %v; want nobody, and 4 orders", st, err)
	}
}

func TestAWaiterIsTakenOut(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	w := write(t, s, "x")
	result := make(chan error)
	go func() {
		_, err := rwlock.AcquireRead(t.Context(), s, "x")
		result <- err
	}()
	waiting(t, c, 1)
	st, err := rwlock.Inspect(t.Context(), c, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := rwlock.Remove(t.Context(), c, "x", st.Waiters[0].ID, "why"); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, rwlock.ErrRemoved) {
		t.Errorf("AcquireRead = %v, want ErrRemoved", err)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAWishOutlivesADowngrade: who asked for the lock has not asked for one mode of it.
func TestAWishOutlivesADowngrade(t *testing.T) {
	c := recipestest.Client(t)
	w := write(t, open(t, c), "x")
	if err := rwlock.Revoke(t.Context(), c, "x", "why", time.Hour); err != nil {
		t.Fatal(err)
	}
	r, err := w.Downgrade(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-r.Revoking()
	if r.Revocation().Reason != "why" {
		t.Errorf("Revocation = %+v", r.Revocation())
	}
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
}
