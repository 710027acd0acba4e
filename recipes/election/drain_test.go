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

// TestDrainWaitsForWhatTheSessionGivesBackInTheBackground: after an eviction, and after a handing over of which nobody knows. Until then it leads.
func TestDrainWaitsForWhatTheSessionGivesBackInTheBackground(t *testing.T) {
	for what, end := range map[string]func(f *recipestest.Faults, term *election.Term, to string){
		"Evict": func(_ *recipestest.Faults, term *election.Term, _ string) {
			if err := election.Evict(t.Context(), recipestest.Namespace(t, t.Name()), "x", "maintenance", 0); err != nil {
				t.Errorf("Evict = %v", err)
			}
			<-term.Context().Done()
		},
		"HandOver": func(f *recipestest.Faults, term *election.Term, to string) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			f.LateRequest(2, recipestest.Silence) // the look comes before
			if err := term.HandOver(ctx, to); !errors.Is(err, session.ErrUnknownOutcome) {
				t.Errorf("HandOver = %v, want ErrUnknownOutcome", err)
			}
		},
	} {
		c, f := recipestest.Namespace(t, t.Name()), recipestest.NewFaults(t)
		mine := recipestest.Namespace(t, t.Name(), f)
		kv := &after{KV: mine.KV}
		mine.KV = kv
		s, other := open(t, mine, session.CleanupTimeout(50*time.Millisecond)), open(t, c)
		term := win(t, s)
		next := campaigns(t, other, c)
		reads, goOn := make(chan struct{}), make(chan struct{})
		gate := func() { close(reads); <-goOn }
		first := func() { kv.do.Store(&gate) }
		if kv.do.Store(&gate); what == "HandOver" {
			kv.do.Store(&first) // its own look goes through
		}
		end(f, term, next.id)
		<-reads // of what goes on in the background
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := election.Drain(over, s); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Drain = %v, want that the session leads", what, err)
		}
		leads(t, c, term.Token(), "")
		close(goOn)
		if err := election.Drain(t.Context(), s); err != nil && !errors.Is(err, session.ErrUnknownOutcome) {
			t.Errorf("%s: Drain = %v", what, err)
		}
		if in, err := election.Leader(t.Context(), c, "x"); err == nil && in.Term == term.Token() {
			t.Errorf("%s: after Drain %+v leads", what, in)
		}
		resign(t, next.leads(t))
	}
}
