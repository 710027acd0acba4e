package chaos

import (
	"slices"
	"testing"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// TestKeysBelongToOneRecipe: faults are aimed by these, and nobody's rules are applied to what is another's.
func TestKeysBelongToOneRecipe(t *testing.T) {
	for _, k := range []struct {
		key, name     string
		waits, handed bool
	}{
		{"/stile/v1/lock/n%2F3/e/1", "lock n/3", true, false},
		{"/stile/v1/lock/set%2F1/e/1", "sets set/1", true, false},
		{"/stile/v1/rwlock/hot/e/1", "rwlock hot", true, false},
		{"/stile/v1/rwlock/hot/p/w", "rwlock hot", false, false},
		{"/stile/v1/rwlock/hot/p/r/77-0", "rwlock hot", false, false},
		{"/stile/v1/semaphore/pool%2F1/p/s/0003", "semaphore pool/1", false, false},
		{"/stile/v1/semaphore/pool%2F1/e/1", "semaphore pool/1", true, false},
		{"/stile/v1/election/crew%2F1/p/leader", "election crew/1", false, true},
		{"/stile/v1/election/crew%2F1/p/leader!value", "", false, false},
		{"/stile/v1/lock/hot/e/1!revoke", "", false, false},
		{"/stile/v1/semaphore/pool%2F1/p/limit", "", false, false},
		{"/stile/v1/lock/hot/tail", "", false, false},
		{"/chaos/data/lock/hot", "", false, false},
	} {
		all := recipes{}
		if name, ok := all.Place(k.key); name != k.name || ok != (k.name != "") {
			t.Errorf("%s is a place of %q, want %q", k.key, name, k.name)
		}
		if all.Waits(k.key) != k.waits || all.Handed(k.key) != k.handed {
			t.Errorf("%s: waits %v, handed over %v", k.key, all.Waits(k.key), all.Handed(k.key))
		}
	}
	if name, ok := (semaphores{}).slot("/stile/v1/semaphore/pool%2F1/p/s/0003"); name != "pool/1#3" || !ok {
		t.Errorf("the slot is %q", name)
	}
}

// TestEachRecipeIsJudgedOnItsOwn, and what is nobody's own once.
func TestEachRecipeIsJudgedOnItsOwn(t *testing.T) {
	h := &history.History{LeftKeys: []string{"k"}, LeftLeases: 1, Ends: []history.End{{Leaks: []string{"a goroutine"}}}}
	for _, recipe := range append(slices.Clone(each), "session") {
		h.Ops = append(h.Ops, history.Op{Recipe: recipe, Kind: history.Close})
		h.Beliefs = append(h.Beliefs, history.Belief{Recipe: recipe})
		h.Stored = append(h.Stored, history.Stored{Resource: recipe + "/x"})
	}
	ops, left, leaks := 0, 0, 0
	for i, recipe := range each {
		p := part(h, recipe, i == 0)
		ops += len(p.Ops)
		left += len(p.LeftKeys) + p.LeftLeases
		leaks += len(p.Ends[0].Leaks)
		if len(p.Beliefs) != 1 || p.Beliefs[0].Recipe != recipe || len(p.Stored) != 1 || p.Stored[0].Resource != recipe+"/x" {
			t.Errorf("%s: beliefs %v, stored %v", recipe, p.Beliefs, p.Stored)
		}
	}
	if ops != len(h.Ops) || left != 2 || leaks != 1 {
		t.Errorf("%d operations, %d left, %d leaks; want %d, 2, 1", ops, left, leaks, len(h.Ops))
	}
	if v := (recipes{}).Judge(h); len(v.Violations) != 3 {
		t.Errorf("violations %v, want what is left three times", v.Violations)
	}
}
