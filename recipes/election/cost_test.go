package election_test

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// costs compares how many requests of each kind there were, but for keep-alives.
func costs(t *testing.T, what string, r *recipestest.Requests, txns, gets, watches int64) {
	t.Helper()
	if r.Txns.Load() != txns || r.Gets.Load() != gets || r.Watches.Load() != watches {
		t.Errorf("%s: %d Txns, %d Gets, %d watches; want %d, %d, %d", what, r.Txns.Load(), r.Gets.Load(), r.Watches.Load(), txns, gets, watches)
	}
	if n := r.Puts.Load() + r.Deletes.Load(); n != 0 {
		t.Errorf("%s: %d Puts and Deletes", what, n)
	}
}

// counted is a session of its own, on the keys of this test.
func counted(t *testing.T) (*session.Session, *recipestest.Requests, *clientv3.Client) {
	t.Helper()
	c := recipestest.Namespace(t, t.Name())
	s := open(t, c)
	return s, recipestest.Count(c), c
}

func TestCostWithNobodyElse(t *testing.T) {
	s, requests, _ := counted(t)
	term := win(t, s, election.Value("v"))
	costs(t, "a campaign", requests, 1, 0, 0)
	if err := term.Proclaim(t.Context(), "w"); err != nil {
		t.Error(err)
	}
	costs(t, "a value", requests, 2, 0, 0)
	resign(t, term)
	costs(t, "resigning", requests, 3, 1, 0)
}

// TestCostOfHandingOver: the leader reads once and writes once, and the successor sends nothing, wherever it stands.
func TestCostOfHandingOver(t *testing.T) {
	s, ofLeader, _ := counted(t)
	look := recipestest.Namespace(t, t.Name())
	leader := win(t, s)
	var all []*runner
	var sent []*recipestest.Requests
	for range 3 {
		s, requests, _ := counted(t)
		all, sent = append(all, campaigns(t, s, look)), append(sent, requests)
		eventually(t, "it never looks", func() bool { return requests.Txns.Load() == 2 })
		costs(t, "a candidate joins, and looks at its entry and who is in front, or at the leader", requests, 2, 0, 2)
	}
	if err := leader.HandOver(t.Context(), all[2].id); err != nil {
		t.Fatal(err)
	}
	third := all[2].leads(t)
	costs(t, "the one that it was handed over to", sent[2], 2, 0, 2)
	costs(t, "the heir, who has nothing to do", sent[0], 2, 0, 2)
	costs(t, "handing over", ofLeader, 2, 1, 0)
	resign(t, third)
	costs(t, "resigning", sent[2], 3, 1, 2)
	first := all[0].leads(t)
	costs(t, "the one that came next", sent[0], 2, 0, 2)
	resign(t, first)
	resign(t, all[1].leads(t))
	nothing(t, look)
}

// TestCostAfterACrash: the heir alone has something to do, however many wait.
func TestCostAfterACrash(t *testing.T) {
	s, _, _ := counted(t)
	look := recipestest.Namespace(t, t.Name())
	win(t, s)
	var all []*runner
	var sent []*recipestest.Requests
	for i := range 3 {
		s, requests, _ := counted(t)
		all, sent = append(all, campaigns(t, s, look, election.Priority(i%2))), append(sent, requests)
		eventually(t, "it never looks", func() bool { return requests.Txns.Load() == 2 })
	}
	recipestest.RevokeLeaseOf(t, look, place)
	second := all[1].leads(t)
	costs(t, "the heir reads the line, and appoints another", sent[0], 3, 1, 2)
	costs(t, "the one that was appointed", sent[1], 2, 0, 2)
	eventually(t, "the one behind it never looks", func() bool { return sent[2].Txns.Load() == 3 })
	costs(t, "the one behind it reads who is in front now, and looks at that", sent[2], 3, 1, 3)
	resign(t, second)
	resign(t, all[0].leads(t))
	resign(t, all[2].leads(t))
	nothing(t, look)
}
