package semaphore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestAHolderOfSeveralIsAskedOnce, and gives all of them back; others keep theirs.
func TestAHolderOfSeveralIsAskedOnce(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c, in("a"))
	limit(t, c, 4, semaphore.Spread("rack", 4))
	first, second := acquire(t, s, 2), acquire(t, s, 2)
	next := acquires(t, c, s, 2, 1)
	id := inspect(t, c).Holders[1].ID
	if err := semaphore.Revoke(t.Context(), c, "x", "maintenance", 0, semaphore.ID(id), semaphore.By("ops")); err != nil {
		t.Fatal(err)
	}
	<-second.Context().Done()
	revoked, ok := errors.AsType[*session.RevokedError](context.Cause(second.Context()))
	if !ok || revoked.Reason != "maintenance" || revoked.By != "ops" {
		t.Errorf("it ended with %v, want a *RevokedError that says why", context.Cause(second.Context()))
	}
	p := <-next
	has(t, p, 2, 3)
	if err := first.Err(); err != nil {
		t.Errorf("the other: %v; it was not asked", err)
	}
	if st := inspect(t, c); len(st.Revoked) != 1 || len(st.Holders) != 2 || st.Limit != 4 {
		t.Errorf("%+v, want one order, and two holders", st)
	}
	release(t, p)
	release(t, first)
	keys(t, c, "p/limit", "p/look", "revoked")
}

// TestForceTakesAllSlots of each holder, at once.
func TestForceTakesAllSlots(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 5)
	first, second := acquire(t, s, 3), acquire(t, s, 2)
	next := acquires(t, c, s, 5, 1)
	if err := semaphore.Force(t.Context(), c, "x", "they hang"); err != nil {
		t.Fatal(err)
	}
	p := <-next
	has(t, p, 0, 1, 2, 3, 4)
	for _, old := range []*semaphore.Permit{first, second} {
		<-old.Context().Done()
		if old.Token().Compare(p.Token()) >= 0 {
			t.Errorf("token %v of the next one after %v", p.Token(), old.Token())
		}
	}
	release(t, p)
	if err := semaphore.Force(t.Context(), c, "x", "nobody is there"); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Force = %v, want ErrNotHeld", err)
	}
}

func TestAWaiterIsTakenOut(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 2)
	held := acquire(t, s, 1)
	large := fails(t, c, s, 2, 1)
	small := acquires(t, c, s, 1, 2)
	if err := semaphore.Remove(t.Context(), c, "x", inspect(t, c).Waiters[0].ID, "it keeps others waiting"); err != nil {
		t.Fatal(err)
	}
	if err := <-large; !errors.Is(err, semaphore.ErrRemoved) {
		t.Errorf("who was removed: %v, want ErrRemoved", err)
	}
	release(t, <-small)
	release(t, held)
	if err := semaphore.Remove(t.Context(), c, "x", "6f1c", "nobody"); !errors.Is(err, semaphore.ErrNotWaiting) {
		t.Errorf("Remove = %v, want ErrNotWaiting", err)
	}
}

// TestAHolderHearsThatItIsAsked before its grace is over.
func TestAHolderHearsThatItIsAsked(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 2)
	p := acquire(t, s, 2)
	if err := semaphore.Revoke(t.Context(), c, "x", "soon", time.Hour); err != nil {
		t.Fatal(err)
	}
	<-p.Revoking()
	if err := p.Err(); err != nil {
		t.Errorf("within its grace: %v", err)
	}
	if h := inspect(t, c).Holders; len(h) != 1 || h[0].Revoking == nil || h[0].Revoking.Reason != "soon" {
		t.Errorf("Inspect: %+v, want that it is asked", h)
	}
	release(t, p)
}
