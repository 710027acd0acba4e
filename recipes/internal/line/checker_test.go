package line

import (
	"slices"
	"testing"
)

// begin is a world with n participants that want the head times over.
func begin(n, times int, budget faults) world {
	w := world{tail: none, budget: budget}
	for i := range w.parts {
		w.parts[i].orphan = none
		if i < n {
			w.parts[i].left = int8(times)
		}
	}
	return w
}

// quick are those that even the race detector gets through in no time.
var quick = []string{"sweeps", "removals", "tries"}

// mostStates is where the checker stops. No scenario gets there.
const mostStates = 3_000_000

// scenarios are what the checker goes through: together they have every fault, each with some others.
var scenarios = map[string]world{
	"lost and late answers": begin(2, 2, faults{lost: 1, late: 1, giveUp: 1}),
	"two late answers":      begin(2, 2, faults{late: 2}),
	"crashes":               begin(3, 1, faults{crash: 1, giveUp: 1, compact: 1}),
	"scans":                 begin(3, 1, faults{crash: 1, giveUp: 1, scan: 2}),
	"crash and late":        begin(2, 2, faults{late: 1, crash: 1}),
	"tries":                 begin(3, 1, faults{try: 1, lost: 1, giveUp: 1}),
	"three give up":         begin(4, 1, faults{giveUp: 3}),
	"lost give-ups":         begin(3, 1, faults{giveUp: 3, lost: 1}),
	"tries and crashes":     begin(3, 1, faults{try: 1, crash: 1, giveUp: 1}),
	"sweeps":                begin(2, 2, faults{sweep: 1, crash: 1}),
	"removals":              begin(3, 1, faults{remove: 1, giveUp: 1}),
}

func TestTheModelKeepsItsInvariants(t *testing.T) {
	total := 0
	for name, start := range scenarios {
		if raceDetector && !slices.Contains(quick, name) {
			continue // nothing here runs at the same time as anything else
		}
		trace, states := explore(start, rules{}, mostStates)
		if trace != nil {
			t.Errorf("%s: %q", name, trace)
		}
		t.Logf("%s: %d states", name, states)
		total += states
	}
	t.Logf("%d states in all", total)
}

// TestTheCheckerNoticesEachBrokenRule: a checker that finds nothing proves nothing.
func TestTheCheckerNoticesEachBrokenRule(t *testing.T) {
	for _, broken := range []struct {
		name, scenario string
		rules          rules
	}{
		{"resolving leaves no void key", "two late answers", rules{noVoid: true}},
		{"a join does not ask whether its id is void", "two late answers", rules{noVoidCompare: true}},
		{"a lost answer is forgotten", "lost and late answers", rules{noResolve: true}},
		{"whoever is found after a lost answer is the head", "lost and late answers", rules{adoptedIsHead: true}},
		{"tail is removed by one that does not know its predecessor", "lost and late answers", rules{tailWhenUnknown: true}},
		{"a gone mark counts as passed", "three give up", rules{goneIsPassed: true}},
		{"a deleted predecessor counts as passed", "crashes", rules{deletedIsPassed: true}},
		{"pass has no guard", "lost and late answers", rules{passUnguarded: true}},
		{"a dead tail counts as a free line", "tries and crashes", rules{tryTrustsTail: true}},
		{"the sweep does not look for entries", "sweeps", rules{sweepBlindly: true}},
		{"the scan takes the oldest, not the youngest", "scans", rules{scanTakesOldest: true}},
		{"the search goes where a gone mark points", "crashes", rules{searchFollows: true}},
		{"a waiter does not look at its own entry", "removals", rules{ownIgnored: true}},
		{"nobody tidies up", "three give up", rules{noTidy: true}},
		{"tidying up takes tail for what it was", "three give up", rules{tidyBlindly: true}},
		{"tidying up takes who was there for alive", "three give up", rules{tidyTrusts: true}},
	} {
		trace, states := explore(scenarios[broken.scenario], broken.rules, mostStates)
		if trace == nil {
			t.Errorf("%s: nothing was noticed in %d states", broken.name, states)
			continue
		}
		t.Logf("%s: %q", broken.name, trace)
	}
}
