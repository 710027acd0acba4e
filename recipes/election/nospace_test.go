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

// TestHandingOverOutOfSpace: it does not pass for done, and leadership goes to somebody nevertheless, as soon as etcd takes it.
func TestHandingOverOutOfSpace(t *testing.T) {
	c, f := recipestest.Namespace(t, t.Name()), recipestest.NewFaults(t)
	s, other := open(t, recipestest.Namespace(t, t.Name(), f)), open(t, c)
	for _, back := range []bool{false, true} { // the term is given back to nobody
		term := win(t, s)
		next := campaigns(t, other, c)
		f.Refuse(2, rpctypes.ErrGRPCNoSpace) // the look comes before
		if back {
			f.Refuse(4, rpctypes.ErrGRPCNoSpace)
		}
		if err := term.HandOver(t.Context(), next.id); !errors.Is(err, rpctypes.ErrNoSpace) || errors.Is(err, session.ErrUnknownOutcome) {
			t.Errorf("HandOver = %v, want ErrNoSpace", err)
		}
		resign(t, next.leads(t))
		nothing(t, c)
	}
}

// TestResigningOutOfSpace: there is no leader then, and those who wait in Run lead when there is space again.
func TestResigningOutOfSpace(t *testing.T) {
	server := recipestest.NewServer(t, recipestest.Quota(4<<20))
	c := server.Client()
	term := win(t, open(t, c))
	faulty := recipestest.NewFaults(t)
	s := open(t, server.Client(faulty))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- election.Run(ctx, s, "x", func(context.Context, *election.Term) error {
			t.Error("somebody was elected")
			return nil
		})
	}()
	eventually(t, "it does not stand", func() bool { return len(ids(t, c)) == 1 })
	server.Fill()
	resign(t, term)
	sent := 0
	eventually(t, "it does not go", func() bool { sent = faulty.Sent(); return len(ids(t, c)) == 0 })
	eventually(t, "it does not try again", func() bool { return faulty.Sent() > sent+4 })
	select {
	case err := <-ended:
		t.Fatalf("Run = %v, want that it waits for space", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the end of its ctx", err)
	}
}

// TestRunLeadsWhenThereIsSpaceAgain: after its join was refused.
func TestRunLeadsWhenThereIsSpaceAgain(t *testing.T) {
	c, f := recipestest.Namespace(t, t.Name()), recipestest.NewFaults(t)
	s := open(t, recipestest.Namespace(t, t.Name(), f))
	var refused [3]<-chan struct{}
	for i := range refused {
		refused[i] = f.Refuse(i+1, rpctypes.ErrGRPCNoSpace)
	}
	runs := 0
	err := election.Run(t.Context(), s, "x", func(context.Context, *election.Term) error { runs++; return nil })
	if err != nil || runs != 1 {
		t.Errorf("Run = %v after %d runs", err, runs)
	}
	for _, one := range refused {
		<-one
	}
	nothing(t, c)
}
