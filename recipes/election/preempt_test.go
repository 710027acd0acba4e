package election_test

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestPreempt: the leader is asked by a candidate of a higher priority that has the option, by nobody else, and hands over when its work has returned.
func TestPreempt(t *testing.T) {
	c := recipestest.Client(t)
	s, other := open(t, c), open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := make(chan *election.Term, 2)
	finish := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- election.Run(ctx, s, "x", func(ctx context.Context, term *election.Term) error {
			began <- term
			<-ctx.Done()
			<-finish
			return nil
		}, election.Priority(1))
	}()
	first := <-began
	patient := campaigns(t, other, c, election.Priority(3))
	equal := campaigns(t, other, c, election.Priority(1), election.Preempt())
	hasty := campaigns(t, other, c, election.Priority(2), election.Preempt())
	<-first.Context().Done()
	revoked, ok := errors.AsType[*session.RevokedError](context.Cause(first.Context()))
	if !ok || revoked.By != "candidate "+hasty.id {
		t.Errorf("the term has ended with %v, want that %s has asked for it", context.Cause(first.Context()), hasty.id)
	}
	leads(t, c, first.Token(), "") // its work goes on
	close(finish)
	second := patient.leads(t) // who asks does it for whoever comes first
	eventually(t, "the old leader does not campaign again", func() bool { return len(ids(t, c)) == 3 })
	if err := second.HandOver(t.Context(), equal.id); err != nil {
		t.Fatal(err)
	}
	third := equal.leads(t)
	<-third.Context().Done() // a leader of a lower priority is asked whenever it comes
	fourth := hasty.leads(t)
	if err := fourth.Err(); err != nil {
		t.Errorf("the one that nobody can preempt has ended: %v", err)
	}
	resign(t, fourth)
	<-began
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	nothing(t, c)
}

// TestPreemptAsksAgain: after etcd has refused to take what it asks.
func TestPreemptAsksAgain(t *testing.T) {
	c, f := recipestest.Namespace(t, t.Name()), recipestest.NewFaults(t)
	mine := recipestest.Namespace(t, t.Name(), f)
	s, asks := open(t, c), open(t, mine)
	requests := recipestest.Count(mine)
	first := win(t, s, election.Priority(2))
	hasty := campaigns(t, asks, c, election.Priority(2), election.Preempt())
	low := campaigns(t, s, c, election.Priority(1))
	eventually(t, "it never looks", func() bool { return requests.Txns.Load() == 2 && requests.Gets.Load() == 1 })
	refused := f.Refuse(1, rpctypes.ErrGRPCPermissionDenied)
	if err := first.HandOver(t.Context(), low.id); err != nil {
		t.Fatal(err)
	}
	second := low.leads(t)
	<-refused
	third := hasty.leads(t)
	if _, ok := errors.AsType[*session.RevokedError](context.Cause(second.Context())); !ok {
		t.Errorf("the term has ended with %v, want that it was asked for", context.Cause(second.Context()))
	}
	resign(t, third)
	nothing(t, c)
}
