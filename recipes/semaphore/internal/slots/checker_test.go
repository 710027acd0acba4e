package slots

import (
	"fmt"
	"slices"
	"testing"
)

// begin is a world with a limit, participants that want so many permits each, times over, and limits that are set meanwhile.
func begin(limit int8, wants []int8, times int8, sets []int8, budget faults) world {
	w := world{rev: 1, limit: limit, limitRev: 1, budget: budget}
	for i := range w.slots {
		w.slots[i].id = none
	}
	for i := range w.queue {
		w.queue[i] = none
	}
	for i, n := range wants {
		w.parts[i] = part{n: n, left: times}
	}
	w.next = int8(maxSets - len(sets))
	w.applied = w.next - 1
	copy(w.sets[w.next:], sets)
	return w
}

// quick are those that even the race detector gets through in no time.
var quick = []string{"several", "closed", "too many by now"}

// mostStates is where the checker stops. No scenario gets there.
const mostStates = 2_000_000

// scenarios are what the checker goes through.
var scenarios = map[string]world{
	"lowered":              begin(3, []int8{1, 1, 1}, 2, []int8{2}, faults{}),
	"lowered and raised":   begin(3, []int8{1, 1, 2}, 1, []int8{1, 2}, faults{}),
	"several":              begin(2, []int8{2, 2, 1}, 1, []int8{3}, faults{}),
	"closed":               begin(2, []int8{1, 2}, 1, []int8{0, 2}, faults{lost: 1}),
	"too many by now":      begin(2, []int8{2, 2, 1}, 1, []int8{1}, faults{}),
	"lost and late":        begin(2, []int8{1, 1}, 2, []int8{1}, faults{lost: 1, late: 1}),
	"two late":             begin(2, []int8{2, 1}, 2, nil, faults{late: 2}),
	"late limits":          begin(1, []int8{1, 1}, 1, []int8{3, 1, 2}, faults{late: 1, lost: 1}),
	"late and lowered":     begin(3, []int8{1, 1, 1}, 1, []int8{2, 1}, faults{late: 1}),
	"late, several":        begin(3, []int8{2, 1, 1}, 1, []int8{2}, faults{late: 1}),
	"crashes":              begin(3, []int8{1, 2}, 2, []int8{2}, faults{crash: 1, late: 1}),
	"crashes, and lowered": begin(3, []int8{1, 1, 1}, 1, []int8{1, 2}, faults{crash: 1}),
	"given up":             begin(2, []int8{2, 1, 1}, 1, []int8{1, 2}, faults{giveUp: 2}),
}

func TestTheModelKeepsItsInvariants(t *testing.T) {
	total := 0
	for name, start := range scenarios {
		if raceDetector && !slices.Contains(quick, name) {
			continue // nothing here runs at the same time as anything else
		}
		trace, states := explore(start, rules{})
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
		{"who has read nothing does not look at p/look", "crashes, and lowered", rules{blindNoLook: true}},
		{"nor at the limit", "late limits", rules{blindNoLimit: true}},
		{"nor at the slot", "lowered", rules{blindNoSlot: true}},
		{"a free slot is enough", "lowered", rules{noCount: true}},
		{"others may have come since the view", "lowered", rules{noSince: true}},
		{"the limit may be another since the view", "lowered and raised", rules{noLimitRev: true}},
		{"the slots may be taken since the view", "lowered and raised", rules{noFree: true}},
		{"p/look goes too early", "lowered", rules{drainBlindly: true}},
		{"p/look is not written", "lowered", rules{setNoLook: true}},
		{"a late copy sets the limit", "late limits", rules{setLate: true}},
		{"an id without an answer is not made void", "lost and late", rules{noVoid: true}},
		{"who has looked does not ask whether somebody waits", "several", rules{overtakes: true}},
		{"nobody is refused", "too many by now", rules{noRefusal: true}},
		{"a release goes by the slot's number alone", "lost and late", rules{unguarded: true}},
		{"a lost answer is forgotten", "lost and late", rules{neverResolves: true}},
	} {
		trace, states := explore(scenarios[broken.scenario], broken.rules)
		if trace == nil {
			t.Errorf("%s: nothing was noticed in %d states", broken.name, states)
			continue
		}
		t.Logf("%s: %q", broken.name, trace)
	}
}

// explorer walks through all states of the model that can be reached, breadth first, and checks each.
type explorer struct {
	rules rules
	known map[world]int
	queue []world
	from  []edge
	into  [][]int // the states that each is reached from by a step that is no fault
}

type edge struct {
	parent int
	what   string
}

// explore returns the shortest way to a state in which something is wrong, and how many states there are.
func explore(start world, ru rules) (trace []string, states int) {
	x := &explorer{rules: ru, known: map[world]int{}}
	x.add(start, 0, "start", false)
	var done []int
	for at := 0; ; at++ {
		if at == len(x.queue) { // which grows
			return x.stuck(done), at
		}
		w := x.queue[at]
		if wrong := w.wrong(); wrong != "" {
			return append(x.trace(at), wrong), len(x.queue)
		}
		if w.done() {
			done = append(done, at)
		}
		if len(x.queue) > mostStates {
			return []string{"too many states"}, len(x.queue)
		}
		x.steps(w, at)
	}
}

func (x *explorer) add(w world, parent int, what string, fault bool) {
	w = w.canonical()
	s, ok := x.known[w]
	if !ok {
		s = len(x.queue)
		x.known[w] = s
		x.queue, x.from, x.into = append(x.queue, w), append(x.from, edge{parent, what}), append(x.into, nil)
	}
	if !fault {
		x.into[s] = append(x.into[s], parent)
	}
}

func (x *explorer) trace(at int) (trace []string) {
	for ; at > 0; at = x.from[at].parent {
		trace = append(trace, x.from[at].what)
	}
	slices.Reverse(trace)
	return trace
}

// stuck is the way to a state from which nothing leads to the end.
func (x *explorer) stuck(todo []int) []string {
	ends := make([]bool, len(x.queue))
	for _, s := range todo {
		ends[s] = true
	}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, before := range x.into[s] {
			if !ends[before] {
				ends[before] = true
				todo = append(todo, before)
			}
		}
	}
	if s := slices.Index(ends, false); s >= 0 {
		return append(x.trace(s), "stuck")
	}
	return nil
}

func (w *world) done() bool {
	for _, p := range w.parts {
		if p.phase != idle || p.left > 0 {
			return false
		}
	}
	return w.next == maxSets
}

// canonical numbers revisions by rank, so that states which differ in nothing else are one.
func (w world) canonical() world {
	revs := []*int8{&w.limitRev, &w.rev}
	for i := range w.slots {
		revs = append(revs, &w.slots[i].mod)
	}
	for i := range w.parts {
		revs = append(revs, &w.parts[i].view.rev, &w.parts[i].view.limitRev, &w.parts[i].token)
	}
	for i := range w.late {
		revs = append(revs, &w.late[i].view.rev, &w.late[i].view.limitRev, &w.late[i].token, &w.late[i].rev)
	}
	var used [128]bool
	for _, r := range revs {
		used[*r] = true
	}
	var rank [128]int8
	n := int8(0)
	for r := 1; r < len(used); r++ {
		if used[r] {
			n++
			rank[r] = n
		}
	}
	for _, r := range revs {
		*r = rank[*r]
	}
	return w
}

func name(i int, what string) string { return fmt.Sprintf("%d %s", i, what) }
