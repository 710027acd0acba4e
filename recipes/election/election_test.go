package election_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// place is where the leader of x stands.
const place = "/stile/v1/election/x/p/leader"

func open(t *testing.T, c *clientv3.Client, opts ...session.Option) *session.Session {
	t.Helper()
	s, err := session.Open(t.Context(), c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func win(t *testing.T, s *session.Session, opts ...election.Option) *election.Term {
	t.Helper()
	term, err := election.Campaign(t.Context(), s, "x", opts...)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// a runner is one who campaigns.
type runner struct {
	id  string
	won chan *election.Term // closed without one if it fails
	err error               // then
}

// campaigns has somebody stand for x, behind those who do.
func campaigns(t *testing.T, s *session.Session, c *clientv3.Client, opts ...election.Option) *runner {
	t.Helper()
	before := ids(t, c)
	r := &runner{won: make(chan *election.Term, 1)}
	go func() {
		defer close(r.won)
		term, err := election.Campaign(t.Context(), s, "x", opts...)
		if r.err = err; err == nil {
			r.won <- term
		}
	}()
	eventually(t, "it does not stand", func() bool {
		for id := range ids(t, c) {
			if !before[id] {
				r.id = id
			}
		}
		return r.id != ""
	})
	return r
}

func ids(t *testing.T, c *clientv3.Client) map[string]bool {
	t.Helper()
	all, err := election.Candidates(t.Context(), c, "x")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, one := range all {
		ids[one.ID] = true
	}
	return ids
}

// leads waits until r leads.
func (r *runner) leads(t *testing.T) *election.Term {
	t.Helper()
	select {
	case term := <-r.won:
		if term == nil {
			t.Fatalf("it failed: %v", r.err)
		}
		return term
	case <-time.After(30 * time.Second):
		t.Fatal("it never leads")
	}
	return nil
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

func resign(t *testing.T, term *election.Term) {
	t.Helper()
	if err := term.Resign(t.Context()); err != nil {
		t.Errorf("Resign = %v", err)
	}
}

// nothing fails unless x has no key.
func nothing(t *testing.T, c *clientv3.Client) {
	t.Helper()
	var left []string
	defer func() {
		if t.Failed() && len(left) > 0 {
			t.Logf("left: %q", left)
		}
	}()
	eventually(t, "keys are left", func() bool {
		resp, err := c.Get(t.Context(), "", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		left = nil
		for _, kv := range resp.Kvs {
			left = append(left, string(kv.Key)+" = "+string(kv.Value))
		}
		return left == nil
	})
}

// TestLeadershipMoves: A leads, B and C wait; A hands over to C, C resigns, B leads, and terms rise.
func TestLeadershipMoves(t *testing.T) {
	c := recipestest.Client(t)
	sa, sb, sc := open(t, c), open(t, c), open(t, c)
	a := win(t, sa, election.Value("a"))
	b, d := campaigns(t, sb, c, election.Value("b")), campaigns(t, sc, c, election.Value("c"))
	if err := a.HandOver(t.Context(), d.id); err != nil {
		t.Fatalf("HandOver = %v", err)
	}
	if err := context.Cause(a.Context()); !errors.Is(err, session.ErrReleased) {
		t.Errorf("the term of who handed over has ended with %v, want ErrReleased", err)
	}
	third := d.leads(t)
	leads(t, c, third.Token(), "c")
	resign(t, third)
	second := b.leads(t)
	leads(t, c, second.Token(), "b")
	if a.Token().Compare(third.Token()) >= 0 || third.Token().Compare(second.Token()) >= 0 {
		t.Errorf("the terms are %v, %v, %v, want them to rise", a.Token(), third.Token(), second.Token())
	}
	resign(t, second)
	if _, err := election.Leader(t.Context(), c, "x"); !errors.Is(err, election.ErrNoLeader) {
		t.Errorf("Leader = %v, want ErrNoLeader", err)
	}
	for _, term := range []*election.Term{a, third, second} {
		if err := term.Resign(t.Context()); err != nil {
			t.Errorf("Resign again = %v", err)
		}
	}
	if err := a.HandOver(t.Context(), b.id); !errors.Is(err, session.ErrReleased) {
		t.Errorf("HandOver afterwards = %v, want ErrReleased", err)
	}
	nothing(t, c)
}

func leads(t *testing.T, c *clientv3.Client, term fencing.Token, value string) {
	t.Helper()
	in, err := election.Leader(t.Context(), c, "x")
	if err != nil || in.Term != term || in.Value != value {
		t.Errorf("Leader = %+v, %v, want term %v and value %q", in, err, term, value)
	}
}

func TestAProclaimedValueGoesWithTheTerm(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	a := win(t, s, election.Value("at first"))
	leads(t, c, a.Token(), "at first")
	for _, value := range []string{"one", "", "two"} {
		if err := a.Proclaim(t.Context(), value); err != nil {
			t.Fatalf("Proclaim = %v", err)
		}
		leads(t, c, a.Token(), value)
	}
	if err := a.Err(); err != nil {
		t.Errorf("the term has ended: %v", err)
	}
	b := campaigns(t, s, c, election.Value("b"))
	resign(t, a)
	second := b.leads(t)
	leads(t, c, second.Token(), "b")
	if err := a.Proclaim(t.Context(), "late"); !errors.Is(err, session.ErrReleased) {
		t.Errorf("Proclaim after the term = %v, want ErrReleased", err)
	}
	if err := second.Proclaim(t.Context(), "three"); err != nil {
		t.Fatal(err)
	}
	recipestest.RevokeLeaseOf(t, c, place)
	eventually(t, "the value outlives the leader", func() bool {
		resp, err := c.Get(t.Context(), place, clientv3.WithPrefix())
		return err == nil && resp.Count == 0
	})
	if err := second.Proclaim(t.Context(), "late"); !errors.Is(err, session.ErrLost) {
		t.Errorf("Proclaim after the loss = %v, want ErrLost", err)
	}
	nothing(t, c)
}

// TestPriority: whoever has the most leads next, by the leader's will and after its death; among equals who came first.
func TestPriority(t *testing.T) {
	c := recipestest.Client(t)
	leader, s := open(t, c), open(t, c)
	first := win(t, leader)
	low := campaigns(t, s, c, election.Priority(-1))
	plain := campaigns(t, s, c)
	high := campaigns(t, s, c, election.Priority(2))
	same := campaigns(t, s, c, election.Priority(2))
	all, err := election.Candidates(t.Context(), c, "x")
	if got, want := fmt.Sprint(order(all)), fmt.Sprint([]string{high.id, same.id, plain.id, low.id}); err != nil || got != want {
		t.Errorf("Candidates = %v, %v, want %v", got, err, want)
	}
	recipestest.RevokeLeaseOf(t, c, place) // the leader dies; the head of the line is the least
	second := high.leads(t)
	<-first.Context().Done()
	resign(t, second)
	third := same.leads(t)
	resign(t, third)
	fourth := plain.leads(t)
	resign(t, fourth)
	resign(t, low.leads(t))
	nothing(t, c)
}

func order(all []election.Candidate) (ids []string) {
	for _, one := range all {
		ids = append(ids, one.ID)
	}
	return ids
}

func TestBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	term := win(t, s)
	requests := recipestest.Count(c)
	work := func(context.Context, *election.Term) error { return nil }
	long := election.Value(string(make([]byte, 16<<10+1)))
	var nilCtx context.Context
	for what, err := range map[string]error{
		"no session":       second(election.Campaign(t.Context(), nil, "x")),
		"no name":          second(election.Campaign(t.Context(), s, "")),
		"no context":       second(election.Campaign(nilCtx, s, "x")),
		"a long value":     second(election.Campaign(t.Context(), s, "x", long)),
		"no UTF-8":         second(election.Campaign(t.Context(), s, "x", election.Value("\xff"))),
		"Again":            second(election.Campaign(t.Context(), s, "x", election.Again(once()))),
		"no work":          election.Run(t.Context(), s, "x", nil),
		"Run, no context":  election.Run(nilCtx, s, "x", work),
		"Run, no name":     election.Run(t.Context(), s, "", work),
		"Run, a value":     election.Run(t.Context(), s, "x", work, long),
		"its own term":     second(election.Campaign(term.Context(), s, "x")),
		"Proclaim":         term.Proclaim(t.Context(), "\xff"),
		"Proclaim, no ctx": term.Proclaim(nilCtx, "v"),
		"HandOver, no ctx": term.HandOver(nilCtx, "v"),
		"Leader":           second(election.Leader(t.Context(), c, "a#b")),
		"Leader, no ctx":   second(election.Leader(nilCtx, c, "x")),
		"Candidates":       second(election.Candidates(t.Context(), nil, "x")),
		"a bad root":       second(election.Inspect(t.Context(), c, "x", election.Root("x"))),
		"Drain":            election.Drain(t.Context(), nil),
		"Drain, no ctx":    election.Drain(nilCtx, s),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := second(election.Campaign(term.Context(), s, "x")); !errors.Is(err, election.ErrWouldDeadlock) {
		t.Errorf("Campaign in its own term = %v, want ErrWouldDeadlock", err)
	}
	if n := requests.Total() - requests.KeepAlives.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	resign(t, term)
}

func second[T any](_ T, err error) error { return err }
