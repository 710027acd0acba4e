package election_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestObserve: each change is told, one at a time: what one revision does is one change, so that a hand-over has no vacancy.
func TestObserve(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	h, o := record(t, c), observe(t, c)
	n := 0
	sees := func(what string, leader bool, value string) {
		t.Helper()
		n++
		eventually(t, what+": not seen", func() bool { return len(o.all()) == n })
		if last := o.last(); (last.Leader != nil) != leader || leader && last.Leader.Value != value {
			t.Errorf("%s: saw %+v", what, last.Leader)
		}
	}
	sees("nobody leads", false, "")
	a := win(t, s, election.Value("a"))
	sees("a leads", true, "a")
	if err := a.Proclaim(t.Context(), "a2"); err != nil {
		t.Fatal(err)
	}
	sees("a's value changes", true, "a2")
	b := campaigns(t, s, c, election.Value("b"))
	if err := a.HandOver(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	sees("b leads", true, "b")
	if err := b.leads(t).Proclaim(t.Context(), "b2"); err != nil {
		t.Fatal(err)
	}
	sees("b's value changes", true, "b2")
	recipestest.RevokeLeaseOf(t, c, place)
	sees("b dies", false, "")
	if last := o.last(); last.Revision == 0 {
		t.Error("a vacancy has no revision")
	}
	h.saw(t, "the observer", o.all())
	if n := h.terms(t); n != 2 {
		t.Errorf("%d terms, want 2", n)
	}
}

func TestObserveEndsWithItsContext(t *testing.T) {
	c := recipestest.Client(t)
	errEnough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n := 0
	for _, err := range election.Observe(ctx, c, "x") {
		if n++; n == 1 {
			cancel(errEnough)
			continue
		}
		if !errors.Is(err, errEnough) || !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v, want the cause", err)
		}
	}
	if n != 2 {
		t.Errorf("%d rounds, want the state and the end", n)
	}
	for _, err := range election.Observe(t.Context(), c, "") {
		if !errors.Is(err, session.ErrBadName) {
			t.Errorf("no name: %v, want ErrBadName", err)
		}
	}
}

// TestObserveSurvives a cut, a compaction of what it has missed, and a restart of etcd.
func TestObserveSurvives(t *testing.T) {
	server := recipestest.NewServer(t)
	c, proxy := server.Client(), server.Proxy()
	h, o := record(t, c), observe(t, proxy.Client())
	s := open(t, c)
	sees := func(what string, term *election.Term) {
		t.Helper()
		eventually(t, what+": not seen", func() bool { in := o.last().Leader; return in != nil && in.Term == term.Token() })
	}
	first := win(t, s)
	sees("the first term", first)
	proxy.Cut(recipestest.Reset)
	resign(t, first)
	resign(t, win(t, s))
	second := win(t, s)
	h.await(t)
	recipestest.Compact(t, c)
	proxy.Mend()
	sees("what came after a cut and a compaction", second)
	server.Stop()
	server.Start()
	if err := second.Proclaim(t.Context(), "after a restart"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what came after a restart: not seen", func() bool { in := o.last().Leader; return in != nil && in.Value == "after a restart" })
	h.saw(t, "the observer", o.all())
	resign(t, second)
}

// TestACrowdOfCandidates: of 100 candidates the leader is killed, deposed, resigns or hands over, again and again. Each term has one leader; whoever
// observes sees a part of the true history that ends as that does.
func TestACrowdOfCandidates(t *testing.T) {
	crowd, most := 100, 60
	if raceDetector {
		crowd, most = 30, 30 // they and the server are in this process
	}
	c, proxy := recipestest.Namespace(t, t.Name()), recipestest.NewProxy(t, recipestest.Endpoint(t))
	h := record(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	busy := make(chan struct{})
	slow := observing(t, c, busy)
	observers := map[string]*observer{"one": observe(t, c), "a slow one": slow, "one on a bad network": observe(t, recipestest.Namespace(t, t.Name(), proxy))}
	var running sync.WaitGroup
	for range crowd {
		s := open(t, c, session.TTL(30*time.Second))
		running.Go(func() { candidate(ctx, t, c, s) })
	}
	last := int64(0)
	for i := range most {
		select {
		case busy <- struct{}{}:
		default:
		}
		if proxy.Mend(); i%5 == 4 {
			proxy.Cut(recipestest.Reset)
		}
		eventually(t, "nobody leads", func() bool {
			in, err := election.Leader(t.Context(), c, "x")
			term, _ := in.Term.Int64()
			if err != nil || term == last {
				return false
			}
			last = term
			return true
		})
		depose(t, c, last)
	}
	proxy.Mend()
	cancel()
	running.Wait()
	end := win(t, open(t, c))
	close(busy)
	for who, o := range observers {
		eventually(t, who+" did not see the end", func() bool { in := o.last().Leader; return in != nil && in.Term == end.Token() })
		h.saw(t, who, o.all())
	}
	if n := h.terms(t); n < most {
		t.Errorf("%d terms, want %d at least", n, most)
	} else {
		for who, o := range observers {
			t.Logf("of %d terms %s saw %d changes", n, who, len(o.all()))
		}
	}
	resign(t, end)
	eventually(t, "somebody, or a mark, is left in line", func() bool {
		resp, err := c.Get(t.Context(), "/stile/v1/election/x/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(resp.Kvs, func(kv *mvccpb.KeyValue) bool {
			return !strings.HasPrefix(string(kv.Key), "/stile/v1/election/x/x/") // void ids stay until the leases end
		})
	})
}

// depose ends the term, if it still is, by the end of the leader's lease or by deleting the place.
func depose(t *testing.T, c *clientv3.Client, term int64) {
	t.Helper()
	resp, err := c.Get(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0].ModRevision != term {
		return
	}
	if rand.N(3) > 0 {
		_, err = c.Revoke(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease))
	} else {
		_, err = c.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(place), "=", term)).Then(clientv3.OpDelete(place, clientv3.WithRange(place+`"`))).Commit()
	}
	if err != nil {
		t.Error(err)
	}
}

// candidate leads until it is deposed, or not even that long, again and again.
func candidate(ctx context.Context, t *testing.T, c *clientv3.Client, s *session.Session) {
	t.Helper()
	for ctx.Err() == nil {
		patient, giveUp := context.WithTimeout(ctx, rand.N(5*time.Second))
		term, err := election.Campaign(patient, s, "x", election.Priority(rand.N(3)), election.Value("new"))
		giveUp()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("Campaign = %v", err)
			}
			return
		}
		if err := term.Proclaim(ctx, "old"); err != nil && !errors.Is(err, session.ErrLost) && ctx.Err() == nil {
			t.Errorf("Proclaim = %v", err)
		}
		switch all, err := election.Candidates(ctx, c, "x"); {
		case rand.N(3) > 0 || err != nil || len(all) == 0:
			select {
			case <-term.Context().Done():
			case <-ctx.Done():
			}
		case rand.N(2) > 0:
			if err := term.HandOver(ctx, all[rand.N(len(all))].ID); err != nil && !excused(err) {
				t.Errorf("HandOver = %v", err)
			}
		}
		if err := term.Resign(context.Background()); err != nil && !excused(err) {
			t.Errorf("Resign = %v", err)
		}
	}
}

func excused(err error) bool {
	return errors.Is(err, session.ErrLost) || errors.Is(err, election.ErrNoCandidate) || errors.Is(err, context.Canceled)
}
