package line

import (
	"fmt"
	"testing"
)

// A model of Set: guests that stand in two lines at once, or in one. As in the hall, whoever stands in line knows who is before it.

const pairIDs = 3 // of each guest

// pair is a state of the model. It has no pointers: assignment copies it.
type pair struct {
	rev     int8
	lines   [2][hallGuests * pairIDs]struct{ state, rev int8 } // notThere, stands, or marked: an operator has removed it
	void    uint16
	guests  [hallGuests]twin
	late    [2]pairTxn
	budget  pairFaults
	crashed bool
}

type pairFaults struct{ lost, late, crash, giveUp, remove int8 }

const (
	pIdle int8 = iota
	pHalf      // has joined the first line only, which nobody should
	pResolving
	pWaiting
	pHolding
	pLeaving
)

// twin is a participant.
type twin struct {
	phase int8
	turns int8 // acquisitions to go
	wants int8 // a bit for each line
	heads int8 // of those, where it was at the head when it looked
	used  int8
	id    int8
	epoch int8
}

type pairTxn struct {
	op    int8 // 0: there is none
	id    int8
	wants int8
	who   int8
	epoch int8
}

const (
	pJoin int8 = iota + 1
	pLeave
)

// pairRules are the ways to break the model, one at a time.
type pairRules struct {
	apart     bool // the lines are joined one after the other
	noConfirm bool // the lines that were got first are not looked at again
	half      bool // who leaves leaves the first line
	noVoid    bool // resolving leaves no void key
}

func (p *pair) apply(m pairTxn, ru pairRules) (ok bool) {
	alive := p.guests[m.who].epoch == m.epoch
	if !alive || m.op == pJoin && p.void&(1<<m.id) != 0 {
		return false
	}
	p.rev++
	for l := range p.lines {
		e := &p.lines[l][m.id]
		switch {
		case m.wants&(1<<l) == 0:
		case m.op == pJoin && e.state == notThere:
			e.state, e.rev, ok = stands, p.rev, true
		case m.op == pLeave && e.state == stands:
			e.state = notThere
			if ru.half {
				return true
			}
		}
	}
	return ok
}

// head tells whether id stands in a line, and nobody before it.
func (p *pair) head(l int, id int8) bool {
	own := p.lines[l][id]
	for _, e := range p.lines[l] {
		if e.state == stands && e.rev < own.rev {
			return false
		}
	}
	return own.state == stands
}

// pairWalk goes through the states of a pair by some rules.
type pairWalk struct {
	*walk[pair]
	pairRules
}

func (x pairWalk) step(v visit[pair], i int, budget func(*pairFaults) *int8, what string, f func(p *pair, g *twin) bool) {
	p := v.world
	if budget != nil {
		b := budget(&p.budget)
		if *b == 0 {
			return
		}
		*b--
	}
	if f(&p, &p.guests[i]) {
		x.add(p, v.step, fmt.Sprint(i, " ", what), budget != nil)
	}
}

// send adds what may become of a Txn, as in the hall.
func (x pairWalk) send(v visit[pair], i int, what string, build func(g *twin) (pairTxn, bool), answered func(p *pair, g *twin), lost func(g *twin)) {
	x.step(v, i, nil, what, func(p *pair, g *twin) bool {
		m, so := build(g)
		if so {
			p.apply(m, x.pairRules)
			answered(p, g)
		}
		return so
	})
	x.step(v, i, func(f *pairFaults) *int8 { return &f.lost }, what+", and the answer is lost", func(p *pair, g *twin) bool {
		m, so := build(g)
		if so {
			p.apply(m, x.pairRules)
			lost(g)
		}
		return so
	})
	x.step(v, i, func(f *pairFaults) *int8 { return &f.late }, what+", late", func(p *pair, g *twin) bool {
		m, so := build(g)
		if !so || p.late[1].op != 0 {
			return false
		}
		p.late[0], p.late[1] = m, p.late[0]
		lost(g)
		return true
	})
}

func (g *twin) txn(i int, op int8) pairTxn {
	return pairTxn{op: op, id: g.id, wants: g.wants, who: int8(i), epoch: g.epoch}
}

// over ends the acquisition. The next one wants the same.
func (g *twin) over() { *g = twin{turns: g.turns - 1, wants: g.wants, used: g.used, epoch: g.epoch} }

func (x pairWalk) successors(v visit[pair]) {
	for i := range v.world.guests {
		x.acts(v, i)
	}
	for i, m := range v.world.late {
		if m.op != 0 {
			p := v.world
			p.late[i] = pairTxn{}
			p.apply(m, x.pairRules)
			x.add(p, v.step, "a late copy arrives", false)
		}
	}
}

func (x pairWalk) acts(v visit[pair], i int) {
	giveUp := func(f *pairFaults) *int8 { return &f.giveUp }
	g := v.world.guests[i]
	if g.turns > 0 {
		x.step(v, i, func(f *pairFaults) *int8 { return &f.crash }, "crashes", func(p *pair, _ *twin) bool { p.crash(i); return true })
	}
	switch g.phase {
	case pIdle:
		x.joins(v, i)
	case pHalf:
		x.step(v, i, nil, "joins the second line", func(p *pair, g *twin) bool {
			m := g.txn(i, pJoin)
			p.apply(m, x.pairRules)
			g.phase = pWaiting
			return true
		})
	case pResolving:
		x.step(v, i, nil, "resolves", func(p *pair, g *twin) bool {
			if g.phase = pWaiting; !p.there(g) {
				g.phase = pIdle
				if !x.noVoid {
					p.void |= 1 << g.id
				}
			}
			return true
		})
	case pWaiting:
		x.waits(v, i)
		x.step(v, i, giveUp, "gives up", func(_ *pair, g *twin) bool { g.phase = pLeaving; return true })
		x.step(v, i, func(f *pairFaults) *int8 { return &f.remove }, "is removed from a line", func(p *pair, g *twin) bool {
			l := int(g.wants) >> 1 & 1
			p.rev++
			p.lines[l][g.id].state = marked
			return true
		})
	case pHolding:
		x.step(v, i, nil, "begins to release", func(_ *pair, g *twin) bool { g.phase = pLeaving; return true })
	case pLeaving:
		x.send(v, i, "leaves", func(g *twin) (pairTxn, bool) { return g.txn(i, pLeave), true }, func(p *pair, g *twin) {
			for l := range p.lines {
				if p.lines[l][g.id].state == marked { // what an operator has left is buried by others
					p.lines[l][g.id].state = notThere
				}
			}
			g.over()
		}, func(*twin) {})
	}
}

func (x pairWalk) joins(v visit[pair], i int) {
	begin := func(g *twin) bool {
		g.id = int8(i)*pairIDs + g.used
		g.used++
		return g.turns > 0 && g.used <= pairIDs
	}
	if x.apart {
		x.step(v, i, nil, "joins the first line", func(p *pair, g *twin) bool {
			so := begin(g)
			m := g.txn(i, pJoin)
			if g.wants == 3 {
				m.wants = 1 << (i % 2) // some begin with the one, some with the other
			}
			g.phase = pHalf
			return so && p.apply(m, x.pairRules)
		})
		return
	}
	x.send(v, i, "joins", func(g *twin) (pairTxn, bool) {
		so := begin(g)
		g.phase = pWaiting
		return g.txn(i, pJoin), so
	}, func(*pair, *twin) {}, func(g *twin) { g.phase = pResolving })
}

// waits adds the looks of a waiter: at each line until it is at the head there, and at all of them in the end.
func (x pairWalk) waits(v visit[pair], i int) {
	for l := range v.world.lines {
		x.step(v, i, nil, fmt.Sprint("looks at line ", l), func(p *pair, g *twin) bool {
			if g.wants&(1<<l) == 0 || g.heads&(1<<l) != 0 {
				return false
			}
			if p.lines[l][g.id].state == marked {
				g.phase = pLeaving
				return true
			}
			g.heads |= 1 << l
			return p.head(l, g.id)
		})
	}
	x.step(v, i, nil, "looks at all", func(p *pair, g *twin) bool {
		if g.heads != g.wants {
			return false
		}
		if g.phase = pHolding; !p.stand(g) && !x.noConfirm {
			g.phase = pLeaving
		}
		return true
	})
}

// there tells whether an entry was made, and stand whether all are as they were.
func (p *pair) there(g *twin) bool {
	return p.lines[0][g.id].state != notThere || p.lines[1][g.id].state != notThere
}

func (p *pair) stand(g *twin) bool {
	for l := range p.lines {
		if g.wants&(1<<l) != 0 && p.lines[l][g.id].state != stands {
			return false
		}
	}
	return true
}

func (p *pair) crash(i int) {
	p.rev++
	for id := i * pairIDs; id < (i+1)*pairIDs; id++ {
		p.lines[0][id].state, p.lines[1][id].state = notThere, notThere
		p.void &^= 1 << id
	}
	g := &p.guests[i]
	g.over()
	g.epoch++
	p.crashed = true
}

func (p pair) canonical() pair {
	p.rev = ranks(func(f func(*int8)) {
		for l := range p.lines {
			for id := range p.lines[l] {
				if p.lines[l][id].state == notThere {
					p.lines[l][id].rev = 0
				}
				f(&p.lines[l][id].rev)
			}
		}
	})
	return p
}

func (p *pair) wrong() string {
	for i := range p.guests {
		g := &p.guests[i]
		for l := range p.lines {
			if g.phase == pHolding && g.wants&(1<<l) != 0 && !p.head(l, g.id) {
				return fmt.Sprintf("guest %d believes that it has line %d, where it isn't at the head", i, l)
			}
			for id := i * pairIDs; id < (i+1)*pairIDs; id++ {
				if p.lines[l][id].state == stands && (g.phase == pIdle || int8(id) != g.id) {
					return fmt.Sprintf("entry %d of line %d is a ghost", id, l)
				}
			}
		}
	}
	return ""
}

func (p *pair) done() bool {
	for i := range p.guests {
		if p.guests[i].turns > 0 && (p.guests[i].phase != pIdle || p.guests[i].used < pairIDs) {
			return false
		}
	}
	return true
}

// want is a pair whose guests each acquire so often what wants says, a bit for each line.
func want(budget pairFaults, turns int8, wants ...int8) pair {
	p := pair{budget: budget}
	for i, w := range wants {
		p.guests[i].wants, p.guests[i].turns = w, turns
	}
	return p
}

func explorePair(start pair, ru pairRules) (trace []string, states int) {
	return walkThrough(start, model[pair]{
		canonical: pair.canonical, wrong: (*pair).wrong, over: (*pair).done,
		next: func(x *walk[pair], v visit[pair]) { pairWalk{x, ru}.successors(v) },
	}, mostStates)
}

var pairScenarios = map[string]pair{
	"all want both":       want(pairFaults{lost: 1, giveUp: 1}, 2, 3, 3, 3),
	"some want one":       want(pairFaults{lost: 1, late: 1, giveUp: 1}, 1, 3, 1, 2),
	"late":                want(pairFaults{late: 2, giveUp: 1}, 2, 3, 3),
	"crashes":             want(pairFaults{crash: 1, late: 1, giveUp: 1}, 1, 3, 3, 1),
	"removed":             want(pairFaults{remove: 1, giveUp: 1}, 1, 3, 3, 2),
	"removed, and others": want(pairFaults{remove: 1, lost: 1}, 1, 3, 1, 2),
}

func TestTheModelOfSetsKeepsItsInvariants(t *testing.T) {
	total := 0
	for name, start := range pairScenarios {
		if raceDetector && name != "removed" {
			continue
		}
		trace, states := explorePair(start, pairRules{})
		if trace != nil {
			t.Errorf("%s: %q", name, trace)
		}
		t.Logf("%s: %d states", name, states)
		total += states
	}
	t.Logf("%d states in all", total)
}

func TestTheCheckerOfSetsNoticesEachBrokenRule(t *testing.T) {
	for _, broken := range []struct {
		name, scenario string
		rules          pairRules
	}{
		{"lines are joined one after the other", "all want both", pairRules{apart: true}},
		{"what was got first is not looked at again", "removed, and others", pairRules{noConfirm: true}},
		{"who leaves leaves half", "all want both", pairRules{half: true}},
		{"resolving leaves no void key", "late", pairRules{noVoid: true}},
	} {
		trace, states := explorePair(pairScenarios[broken.scenario], broken.rules)
		if trace == nil {
			t.Errorf("%s: nothing was noticed in %d states", broken.name, states)
			continue
		}
		t.Logf("%s: %q", broken.name, trace)
	}
}
