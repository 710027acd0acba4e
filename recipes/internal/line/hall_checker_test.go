package line

import (
	"fmt"
	"testing"
)

// canonical numbers revisions by rank.
func (h hall) canonical() hall {
	h.rev = ranks(func(f func(*int8)) {
		for i := range h.entries {
			if h.entries[i].state == notThere {
				h.entries[i].rev = 0
			}
			f(&h.entries[i].rev)
		}
		f(&h.writer.rev)
		for i := range h.guests {
			g := &h.guests[i]
			f(&h.readers[i][0].rev)
			f(&h.readers[i][1].rev)
			f(&g.token)
			f(&g.chore.token)
			f(&g.chore.exchange)
		}
		f(&h.late[0].token)
		f(&h.late[1].token)
	})
	return h
}

// wrong says which invariant does not hold.
func (h *hall) wrong() string {
	if h.bad != 0 {
		return hallWrongs[h.bad]
	}
	if h.writer.rev != 0 && !h.known(h.writer.id) {
		return fmt.Sprintf("the writer's place is a ghost's, %d", h.writer.id)
	}
	for i, seats := range h.readers {
		g := &h.guests[i]
		for n, s := range seats {
			switch {
			case s.rev == 0:
			case h.writer.rev != 0:
				return "a writer beside a reader"
			case !h.known(s.id):
				return fmt.Sprintf("a reader's place is a ghost's, %d", s.id)
			case g.taken&(1<<n) == 0:
				return "a number is free, and its place is not"
			}
		}
		if s, _, ok := h.place(g.id); g.phase == hHolding && (!ok || s.rev != g.token) {
			return fmt.Sprintf("guest %d believes in what it doesn't hold", i)
		}
	}
	return h.leftover()
}

// known tells whether somebody may find out that id has a place.
func (h *hall) known(id int8) bool {
	g := &h.guests[id/hallIDs]
	return g.phase != hIdle && g.id == id || g.chore.stage != 0 && g.chore.id == id
}

func (h *hall) done() bool {
	for i := range h.guests {
		if g := &h.guests[i]; g.turn < g.turns || g.chore.stage != 0 {
			return false
		}
	}
	return true
}

// leftover says what stands in etcd when all have left, nothing is on its way, and nobody has crashed.
func (h *hall) leftover() string {
	if !h.done() || h.crashed || h.late != [2]message{} {
		return ""
	}
	for _, e := range h.entries {
		if e.state != notThere {
			return "an entry is left behind"
		}
	}
	switch {
	case h.tail != none:
		return "tail is left behind"
	case h.writer.rev != 0 || h.readers != [hallGuests][hallNums]seat{}:
		return "a place is left behind"
	}
	for i := range h.guests {
		if h.guests[i].taken != 0 {
			return "a number is never free again"
		}
	}
	return ""
}

// enter is a hall whose guests acquire as the words say: r reads, w writes.
func enter(budget hallFaults, words ...string) hall {
	h := hall{tail: none, budget: budget}
	for i, word := range words {
		h.guests[i].turns = int8(len(word))
		for turn, c := range word {
			if c == 'r' {
				h.guests[i].reads |= 1 << turn
			}
		}
	}
	return h
}

func exploreHall(start hall, ru hallRules, limit int) (trace []string, states int) {
	return walkThrough(start, model[hall]{
		canonical: hall.canonical, wrong: (*hall).wrong, over: (*hall).done,
		next: func(x *walk[hall], v visit[hall]) { hallWalk{x, ru}.successors(v) },
	}, limit)
}

var hallScenarios = map[string]hall{
	"readers and a writer": enter(hallFaults{lost: 2, giveUp: 2}, "rr", "r", "w"),
	"late copies":          enter(hallFaults{late: 2, giveUp: 1}, "rw", "wr"),
	"late and lost":        enter(hallFaults{late: 1, lost: 1, giveUp: 1}, "rr", "r", "w"),
	"crashes":              enter(hallFaults{crash: 2, giveUp: 1, late: 1}, "rr", "w", "r"),
	"downgrades":           enter(hallFaults{downgrade: 2, lost: 2, giveUp: 1}, "wr", "w", "r"),
	"downgrades, late":     enter(hallFaults{downgrade: 1, late: 2, giveUp: 1}, "w", "wr"),
	"many give up":         enter(hallFaults{giveUp: 3}, "rr", "wr", "rw"),
	"crowd":                enter(hallFaults{late: 1, giveUp: 1}, "wr", "rw", "rr"),
}

func TestTheModelOfPlacesKeepsItsInvariants(t *testing.T) {
	total := 0
	for name, start := range hallScenarios {
		if raceDetector && name != "many give up" {
			continue // nothing here runs at the same time as anything else
		}
		trace, states := exploreHall(start, hallRules{}, mostStates)
		if trace != nil {
			t.Errorf("%s: %q", name, trace)
		}
		t.Logf("%s: %d states", name, states)
		total += states
	}
	t.Logf("%d states in all", total)
}

func TestTheCheckerOfPlacesNoticesEachBrokenRule(t *testing.T) {
	for _, broken := range []struct {
		name, scenario string
		rules          hallRules
	}{
		{"resolving leaves no void key", "late copies", hallRules{noVoid: true}},
		{"what is free is taken past those in line", "many give up", hallRules{bargeIn: true}},
		{"readers don't mind a writer", "many give up", hallRules{readersIgnore: true}},
		{"a writer doesn't mind readers", "many give up", hallRules{writersIgnore: true}},
		{"a claim has no guard", "late copies", hallRules{claimUnguarded: true}},
		{"who is let in need not stand in line", "readers and a writer", hallRules{runUnguarded: true}},
		{"who is let in need not be next", "crowd", hallRules{runSkips: true}},
		{"a release is by name", "late copies", hallRules{releaseByName: true}},
		{"what is exchanged is given back first", "downgrades", hallRules{exchangeInTwo: true}},
		{"who gives up doesn't look for a place", "many give up", hallRules{noLook: true}},
		{"marks stay", "many give up", hallRules{noUnmark: true}},
		{"who drops doesn't look for the other place", "downgrades", hallRules{dropForgets: true}},
		{"a number is free when its reader has given up", "late copies", hallRules{freeTooSoon: true}},
		{"the old token is believed after an exchange", "downgrades", hallRules{oldToken: true}},
	} {
		trace, states := exploreHall(hallScenarios[broken.scenario], broken.rules, mostStates)
		if trace == nil {
			t.Errorf("%s: nothing was noticed in %d states", broken.name, states)
			continue
		}
		t.Logf("%s: %q", broken.name, trace)
	}
}
