package election_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// Defects of other elections on etcd (its own concurrency.Election among them), as tests.

// endLeaseOf ends the lease that the entry with id is on.
func endLeaseOf(t *testing.T, c *clientv3.Client, id string) {
	t.Helper()
	recipestest.RevokeLeaseOf(t, c, "/stile/v1/election/x/e/"+id)
}

// TestNoPhantomLeader: a candidate whose lease has ended does not win when the leader resigns. (etcd's Campaign returns nil.)
func TestNoPhantomLeader(t *testing.T) {
	c := recipestest.Client(t)
	s, doomed := open(t, c), open(t, c, session.NoRejoin())
	first := win(t, s)
	second := campaigns(t, doomed, c)
	endLeaseOf(t, c, second.id)
	resign(t, first)
	if term, won := <-second.won; won || !errors.Is(second.err, session.ErrLost) {
		t.Errorf("Campaign = %v, %v, want ErrLost", term, second.err)
	}
	if st, err := election.Inspect(t.Context(), c, "x"); err != nil || st.Leader != nil || len(st.Candidates) > 0 {
		t.Errorf("Inspect = %+v, %v, want nobody", st, err)
	}
	nothing(t, c) // Inspect has swept what the crash left
}

// TestNoZombieCandidate: one whose lease has ended stands for the election again by itself, and then leads in truth.
func TestNoZombieCandidate(t *testing.T) {
	c := recipestest.Client(t)
	s, doomed := open(t, c), open(t, c)
	first := win(t, s)
	second := campaigns(t, doomed, c)
	endLeaseOf(t, c, second.id)
	eventually(t, "it does not come again", func() bool { all := ids(t, c); return len(all) == 1 && !all[second.id] })
	resign(t, first)
	term := second.leads(t)
	leads(t, c, term.Token(), "")
	if _, err := term.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
		t.Errorf("Txn = %v", err)
	}
	recipestest.Delete(t, c, "k")
	resign(t, term)
	nothing(t, c)
}

// TestNoGhostAfterACompaction: a candidate that is cut off while what it has missed is compacted away goes on, and one that gives up then leaves nothing.
func TestNoGhostAfterACompaction(t *testing.T) {
	server := recipestest.NewServer(t)
	c, proxy := server.Client(), server.Proxy()
	s := open(t, c)
	cut := open(t, proxy.Client(), session.TTL(60*time.Second))
	first := win(t, s)
	between := campaigns(t, s, c)
	last := campaigns(t, cut, c)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- second(election.Campaign(ctx, cut, "x")) }()
	eventually(t, "it does not stand", func() bool { return len(ids(t, c)) == 3 })
	proxy.Cut(recipestest.Reset)
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("Campaign = %v, want the end of its ctx", err)
	}
	resign(t, first)
	resign(t, between.leads(t))
	for range 10 {
		resign(t, win2(t, s, "y"))
	}
	recipestest.Compact(t, c)
	proxy.Mend()
	term := last.leads(t)
	leads(t, c, term.Token(), "")
	resign(t, term)
	nothing(t, c)
}

func win2(t *testing.T, s *session.Session, name string) *election.Term {
	t.Helper()
	term, err := election.Campaign(t.Context(), s, name)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// TestResigningIsNotForgotten: with a ctx that has ended, and while etcd is away. (etcd's Resign forgets its key when it fails once.)
func TestResigningIsNotForgotten(t *testing.T) {
	c := recipestest.Namespace(t, t.Name())
	proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
	s := open(t, recipestest.Namespace(t, t.Name(), proxy), session.TTL(60*time.Second), session.CleanupTimeout(200*time.Millisecond))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	first := win(t, s)
	if err := first.Resign(over); err != nil {
		t.Errorf("Resign with a ctx that has ended = %v", err)
	}
	nothing(t, c)
	next := open(t, c)
	second := win(t, s)
	waits := campaigns(t, next, c)
	proxy.Cut(recipestest.Silence)
	if err := second.Resign(over); err == nil || errors.Is(err, session.ErrLost) {
		t.Errorf("Resign without an answer = %v, want that it is not known", err)
	}
	proxy.Mend()
	resign(t, waits.leads(t)) // the session has gone on, long before its lease ends
	nothing(t, c)
}

// TestADeposedLeaderLeavesNothing: whether it was appointed or not, and whoever deletes its place.
func TestADeposedLeaderLeavesNothing(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	first := win(t, s)
	a, b := campaigns(t, s, c), campaigns(t, s, c)
	if err := first.HandOver(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	term := b.leads(t)
	recipestest.Delete(t, c, place)
	next := a.leads(t)
	<-term.Context().Done()
	if err := term.Resign(t.Context()); !errors.Is(err, session.ErrLost) {
		t.Errorf("Resign = %v, want ErrLost", err)
	}
	if err := next.Err(); err != nil {
		t.Errorf("the next leader is deposed as well: %v", err)
	}
	resign(t, next)
	nothing(t, c)
}

// TestHandingOverToNobody: the term goes on, and what it does not know of is not touched.
func TestHandingOverToNobody(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	term := win(t, s)
	for _, id := range []string{"", "6f1c1d0e-0000-4000-8000-000000000000"} {
		if err := term.HandOver(t.Context(), id); !errors.Is(err, election.ErrNoCandidate) {
			t.Errorf("HandOver to %q = %v, want ErrNoCandidate", id, err)
		}
	}
	if err := term.Err(); err != nil {
		t.Errorf("the term has ended: %v", err)
	}
	leads(t, c, term.Token(), "")
	resign(t, term)
}

// TestNamesDoNotMeet: the leader of x/config is not that of x. (etcd's Leader and Observe take it for it.)
func TestNamesDoNotMeet(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	o := observe(t, c)
	term := win2(t, s, "x/p/leader")
	if _, err := election.Leader(t.Context(), c, "x"); !errors.Is(err, election.ErrNoLeader) {
		t.Errorf("Leader = %v, want ErrNoLeader", err)
	}
	own := win(t, s)
	eventually(t, "the leader is not seen", func() bool { in := o.last().Leader; return in != nil && in.Term == own.Token() })
	if n := len(o.all()); n > 2 {
		t.Errorf("%d changes were seen, want a vacancy at most, and the leader", n)
	}
	resign(t, own)
	resign(t, term)
}

// TestRunUnderPartition: the work of a leader that is cut off is over before the next leader starts, in 20 elections at once.
func TestRunUnderPartition(t *testing.T) {
	const elections = 20
	c := recipestest.Namespace(t, t.Name())
	proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
	short := []session.Option{session.TTL(3 * time.Second), session.Margin(time.Second)}
	cut, whole := open(t, recipestest.Namespace(t, t.Name(), proxy), short...), open(t, c, short...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var inside [elections]atomic.Int32
	var before, after atomic.Int32
	ended := make(chan error, 2*elections)
	run := func(s *session.Session, i int, started *atomic.Int32) {
		ended <- election.Run(ctx, s, string(rune('a'+i)), func(ctx context.Context, _ *election.Term) error {
			if n := inside[i].Add(1); n != 1 {
				t.Errorf("election %d: the work of %d leaders at once", i, n)
			}
			started.Add(1)
			<-ctx.Done()
			inside[i].Add(-1)
			return nil
		})
	}
	for i := range elections {
		go run(cut, i, &before)
	}
	eventually(t, "not all lead", func() bool { return before.Load() == elections })
	for i := range elections {
		go run(whole, i, &after)
	}
	proxy.Cut(recipestest.Silence)
	eventually(t, "nobody else leads", func() bool { return after.Load() == elections })
	proxy.Mend()
	cancel()
	for range 2 * elections {
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	}
	eventually(t, "who was cut off never has a lease again", func() bool { return cut.Start(t.Context()) == nil })
}
