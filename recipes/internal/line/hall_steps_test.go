package line

import "fmt"

// hallWalk goes through the states of a hall by some rules.
type hallWalk struct {
	*walk[hall]
	hallRules
}

// successors adds every state that one step leads to.
func (x hallWalk) successors(v visit[hall]) {
	for i := range v.world.guests {
		x.acts(v, i)
		x.background(v, i)
	}
	for i := range v.world.late {
		if m := v.world.late[i]; m.op != 0 {
			h := v.world
			h.late[i] = message{}
			h.apply(m, x.hallRules)
			x.add(h, v.step, "a late copy arrives", false)
		}
	}
}

// try adds a step of guest i, unless f says that there is none.
func (x hallWalk) try(v visit[hall], i int, what string, f func(h *hall, g *guest) bool) {
	if h := v.world; f(&h, &h.guests[i]) {
		x.add(h, v.step, fmt.Sprint(i, " ", what), false)
	}
}

// fault is try for what may happen only so often.
func (x hallWalk) fault(v visit[hall], i int, budget func(*hallFaults) *int8, what string, f func(h *hall, g *guest) bool) {
	h := v.world
	if b := budget(&h.budget); *b > 0 {
		*b--
		if f(&h, &h.guests[i]) {
			x.add(h, v.step, fmt.Sprint(i, " ", what), true)
		}
	}
}

// send adds what may become of a Txn: it is answered, the answer is lost, or it is applied later.
func (x hallWalk) send(v visit[hall], i int, what string, build func(h *hall, g *guest) (message, bool), answered func(h *hall, g *guest, ok bool), lost func(g *guest)) {
	x.try(v, i, what, func(h *hall, g *guest) bool {
		m, so := build(h, g)
		if so {
			answered(h, g, h.apply(m, x.hallRules))
		}
		return so
	})
	x.fault(v, i, func(f *hallFaults) *int8 { return &f.lost }, what+", and the answer is lost", func(h *hall, g *guest) bool {
		m, so := build(h, g)
		if so {
			h.apply(m, x.hallRules)
			lost(g)
		}
		return so
	})
	x.fault(v, i, func(f *hallFaults) *int8 { return &f.late }, what+", late", func(h *hall, g *guest) bool {
		m, so := build(h, g)
		if !so {
			return false
		}
		lost(g)
		for j := range h.late {
			if h.late[j].op == 0 {
				h.late[j] = m
				return true
			}
		}
		return false
	})
}

func (g *guest) reading() bool { return g.reads&(1<<g.turn) != 0 }

func (g *guest) message(i int, op int8) message {
	return message{op: op, id: g.id, num: g.num, who: int8(i), epoch: g.epoch, reads: g.reading(), token: g.token, unmark: g.mark}
}

// number takes the lowest that is free.
func (g *guest) number() bool {
	for n := range int8(hallNums) {
		if g.num == 0 && g.taken&(1<<n) == 0 {
			g.taken |= 1 << n
			g.num = n + 1
		}
	}
	return g.num != 0
}

// done ends the acquisition. Its number is free if it leaves nothing to the background.
func (g *guest) done() {
	if g.num != 0 && (g.chore.stage == 0 || g.chore.id != g.id) {
		g.taken &^= 1 << (g.num - 1)
	}
	*g = guest{turn: g.turn + 1, turns: g.turns, reads: g.reads, used: g.used, taken: g.taken, epoch: g.epoch, chore: g.chore}
}

// forsake leaves the acquisition to the background.
func (x hallWalk) forsake(stage int8) func(h *hall, g *guest) bool {
	return func(_ *hall, g *guest) bool {
		if g.chore.stage != 0 {
			return false
		}
		g.chore = chore{stage: stage, id: g.id, num: g.num, token: g.token, doubt: g.claiming, mark: g.mark, writes: g.writes}
		if stage == cDropping {
			g.chore.exchange = g.token
		}
		if x.freeTooSoon && g.num != 0 {
			g.taken &^= 1 << (g.num - 1)
		}
		g.done()
		return true
	}
}

// acts adds what guest i can do.
func (x hallWalk) acts(v visit[hall], i int) {
	giveUp := func(f *hallFaults) *int8 { return &f.giveUp }
	g := &v.world.guests[i]
	if g.turn < g.turns || g.chore.stage != 0 {
		x.fault(v, i, func(f *hallFaults) *int8 { return &f.crash }, "crashes", func(h *hall, _ *guest) bool { h.crash(i); return true })
	}
	switch g.phase {
	case hIdle:
		x.try(v, i, "has no id left", func(_ *hall, g *guest) bool {
			if g.turn == g.turns || g.used < hallIDs {
				return false
			}
			g.done()
			return true
		})
		x.send(v, i, "asks", func(_ *hall, g *guest) (message, bool) {
			if g.turn == g.turns || g.used == hallIDs || g.reading() && !g.number() {
				return message{}, false
			}
			g.id = int8(i)*hallIDs + g.used
			g.used++
			return g.message(i, hTake), true
		}, func(h *hall, g *guest, _ bool) { x.found(h, g, hIdle) }, func(g *guest) { g.phase = hResolving })
	case hResolving:
		x.try(v, i, "resolves", func(h *hall, g *guest) bool {
			if !x.found(h, g, hIdle) && !x.noVoid {
				h.void |= 1 << g.id
			}
			return true
		})
		x.fault(v, i, giveUp, "gives up while resolving", x.forsake(cResolving))
	case hWaiting, hNext, hReady:
		x.waits(v, i)
		x.fault(v, i, giveUp, "gives up", x.forsake(cLeaving))
	case hHolding:
		x.try(v, i, "begins to release", func(_ *hall, g *guest) bool { g.phase = hReleasing; return true })
		x.fault(v, i, func(f *hallFaults) *int8 { return &f.downgrade }, "begins to downgrade", func(_ *hall, g *guest) bool {
			g.phase = hExchanging
			return g.writes && g.number()
		})
	case hExchanging:
		x.send(v, i, "exchanges", func(_ *hall, g *guest) (message, bool) { return g.message(i, hExchange), true },
			func(h *hall, g *guest, _ bool) {
				old := g.token
				if !x.found(h, g, hIdle) || g.writes {
					h.bad = 3
				}
				if x.oldToken {
					g.token = old
				}
			}, func(*guest) {})
		if x.exchangeInTwo {
			x.try(v, i, "gives back what it exchanges", func(h *hall, g *guest) bool {
				m := g.message(i, hDrop)
				return h.apply(m, x.hallRules)
			})
		}
		x.fault(v, i, giveUp, "gives up while exchanging", x.forsake(cDropping))
	case hReleasing:
		x.send(v, i, "releases", func(_ *hall, g *guest) (message, bool) {
			m := g.message(i, hRelease)
			m.reads = !g.writes
			return m, true
		}, func(_ *hall, g *guest, _ bool) { g.done() }, func(*guest) {})
	}
}

// found looks what there is of the acquisition: its place, or its place in line. Otherwise its phase is as told.
func (x hallWalk) found(h *hall, g *guest, otherwise int8) bool {
	s, writes, ok := h.place(g.id)
	e := h.entries[g.id]
	switch {
	case ok:
		g.phase, g.token, g.writes, g.mark, g.run = hHolding, s.rev, writes, e.state == marked, 0
	case e.state == stands:
		g.phase = hWaiting
	default:
		g.phase = otherwise
	}
	return ok || e.state == stands
}

// waits adds what one in line can do.
func (x hallWalk) waits(v visit[hall], i int) {
	x.try(v, i, "looks", func(h *hall, g *guest) bool {
		if h.entries[g.id].state != stands {
			if !x.found(h, g, g.phase) {
				h.bad = 2
			}
			return true
		}
		if g.phase != hWaiting || h.before(g.id) {
			return false
		}
		g.phase = hNext
		return true
	})
	switch v.world.guests[i].phase {
	case hNext:
		x.try(v, i, "reads who is behind", func(h *hall, g *guest) bool {
			if h.entries[g.id].state != stands || !h.fit(g.message(i, hClaim), x.hallRules) {
				return false
			}
			g.phase = hReady
			if g.reading() {
				g.run = h.runOf(g.id, x.hallRules)
			}
			return true
		})
	case hReady:
		x.send(v, i, "claims", func(_ *hall, g *guest) (message, bool) {
			m := g.message(i, hClaim)
			m.run = g.run
			return m, true
		}, func(h *hall, g *guest, ok bool) {
			if g.phase, g.run = hNext, 0; ok {
				x.found(h, g, hNext)
			}
		}, func(g *guest) { g.phase, g.run, g.claiming = hNext, 0, true })
	}
}

// before tells whether somebody stands before id.
func (h *hall) before(id int8) bool {
	for _, e := range h.entries {
		if e.state == stands && e.rev < h.entries[id].rev {
			return true
		}
	}
	return false
}

// runOf is who may be let in together with id: those right behind it that read.
func (h *hall) runOf(id int8, ru hallRules) (run uint16) {
	for last := h.entries[id].rev; ; {
		next := none
		for other, e := range h.entries {
			if e.state == stands && e.rev > last && (next == none || e.rev < h.entries[next].rev) {
				next = int8(other)
			}
		}
		if next == none || h.wants(next) == 0 && !ru.runSkips {
			return run
		}
		last = h.entries[next].rev
		if n := h.wants(next); n != 0 {
			if h.readers[next/hallIDs][n-1].rev != 0 {
				return run
			}
			run |= 1 << next
		}
	}
}

// crash ends a guest's lease, and all keys on it.
func (h *hall) crash(i int) {
	h.rev++
	for id := i * hallIDs; id < (i+1)*hallIDs; id++ {
		h.entries[id].state, h.entries[id].rev = notThere, 0
		h.void &^= 1 << id
	}
	if h.writer.rev != 0 && h.writer.id/hallIDs == int8(i) {
		h.writer = seat{}
	}
	h.readers[i] = [hallNums]seat{}
	g := &h.guests[i]
	if g.turn < g.turns {
		g.turn++
	}
	*g = guest{turn: g.turn, turns: g.turns, reads: g.reads, used: g.used, epoch: g.epoch + 1}
	h.crashed = true
}
