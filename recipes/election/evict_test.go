package election_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestEvict: the leader of Run ends its work, hands over, and campaigns again.
func TestEvict(t *testing.T) {
	c := recipestest.Client(t)
	s, other := open(t, c), open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	why := make(chan error, 2)
	terms := make(chan *election.Term, 2)
	ended := make(chan error, 1)
	go func() {
		ended <- election.Run(ctx, s, "x", func(ctx context.Context, term *election.Term) error {
			terms <- term
			<-ctx.Done()
			why <- context.Cause(ctx)
			return nil
		})
	}()
	first := <-terms
	next := campaigns(t, other, c)
	if err := election.Evict(t.Context(), c, "x", "maintenance", 0, election.By("me")); err != nil {
		t.Fatalf("Evict = %v", err)
	}
	err := <-why
	if revoked, ok := errors.AsType[*session.RevokedError](err); !ok || revoked.Reason != "maintenance" || revoked.By != "me" || !errors.Is(err, session.ErrLost) {
		t.Errorf("the work ended with %v, want the order", err)
	}
	second := next.leads(t)
	eventually(t, "it does not campaign again", func() bool { return len(ids(t, c)) == 1 })
	st, err := election.Inspect(t.Context(), c, "x")
	if err != nil || len(st.Revoked) != 1 || st.Revoked[0].Reason != "maintenance" || st.Leader == nil || st.Leader.Term != second.Token() {
		t.Errorf("Inspect = %+v, %v, want the order, and the next leader", st, err)
	}
	resign(t, second)
	if third := <-terms; third.Token().Compare(first.Token()) <= 0 {
		t.Errorf("the terms were %v, %v", first.Token(), third.Token())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if err := election.Evict(t.Context(), c, "x", "again", 0); !errors.Is(err, election.ErrNotHeld) {
		t.Errorf("Evict with nobody leading = %v, want ErrNotHeld", err)
	}
}

// TestEvictWithGrace: who resigns within the grace leaves in order; who doesn't is resigned for.
func TestEvictWithGrace(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	for _, obeys := range []bool{true, false} {
		term := win(t, s)
		next := campaigns(t, s, c)
		grace := 20 * time.Minute
		if !obeys {
			grace = 50 * time.Millisecond
		}
		if err := election.Evict(t.Context(), c, "x", "maintenance", grace); err != nil {
			t.Fatal(err)
		}
		<-term.Revoking()
		if obeys {
			resign(t, term)
		}
		resign(t, next.leads(t))
		if _, ok := errors.AsType[*session.RevokedError](context.Cause(term.Context())); ok == obeys {
			t.Errorf("the term has ended with %v", context.Cause(term.Context()))
		}
	}
}

func TestForceAndRemove(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	term := win(t, s)
	next, out := campaigns(t, s, c), campaigns(t, s, c)
	if err := election.Remove(t.Context(), c, "x", out.id, "not that one"); err != nil {
		t.Fatalf("Remove = %v", err)
	}
	if _, won := <-out.won; won || !errors.Is(out.err, election.ErrRemoved) || errors.Is(out.err, session.ErrLost) {
		t.Errorf("who was removed got %v, want ErrRemoved", out.err)
	}
	if err := election.Force(t.Context(), c, "x", "it hangs"); err != nil {
		t.Fatalf("Force = %v", err)
	}
	second := next.leads(t)
	<-term.Context().Done()
	if err := term.Err(); !errors.Is(err, session.ErrLost) {
		t.Errorf("the term has ended with %v, want ErrLost", err)
	}
	if err := second.Err(); err != nil {
		t.Errorf("the next leader: %v", err)
	}
	resign(t, second)
	if err := election.Remove(t.Context(), c, "x", out.id, "again"); !errors.Is(err, election.ErrNotWaiting) {
		t.Errorf("Remove again = %v, want ErrNotWaiting", err)
	}
}

// TestAnOrderForOneTermAlone: whoever leads since is left in peace.
func TestAnOrderForOneTermAlone(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	orders := map[string]func(id string) error{
		"Evict": func(id string) error { return election.Evict(t.Context(), c, "x", "maintenance", 0, election.ID(id)) },
		"Force": func(id string) error { return election.Force(t.Context(), c, "x", "it hangs", election.ID(id)) },
	}
	for what, order := range orders {
		first := win(t, s)
		in, err := election.Leader(t.Context(), c, "x")
		if err != nil {
			t.Fatal(err)
		}
		next := campaigns(t, s, c)
		resign(t, first)
		second := next.leads(t)
		if err := order(in.ID); !errors.Is(err, election.ErrNotHeld) {
			t.Errorf("%s of who led before = %v, want ErrNotHeld", what, err)
		}
		if st, err := election.Inspect(t.Context(), c, "x"); err != nil || st.Leader == nil || st.Leader.Revoking != nil || st.Leader.Term != second.Token() {
			t.Errorf("%s of who led before: Inspect = %+v, %v, want that nobody was asked", what, st, err)
		}
		if err := order(next.id); err != nil {
			t.Errorf("%s = %v", what, err)
		}
		<-second.Context().Done()
		_ = second.Resign(t.Context())
	}
}
