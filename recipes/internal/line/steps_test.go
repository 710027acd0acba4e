package line

import "fmt"

// successors adds every state that one step leads to.
func (x *explorer) successors(n node) {
	try := func(what string, f func(w *world) bool) {
		if w := n.world; f(&w) {
			x.add(w, n.step, what, false)
		}
	}
	fault := func(budget func(*faults) *int8, what string, f func(w *world) bool) {
		w := n.world
		if b := budget(&w.budget); *b > 0 {
			*b--
			if f(&w) {
				x.add(w, n.step, what, true)
			}
		}
	}
	for i := range n.world.parts {
		x.acts(i, n.world.parts[i].phase, try, fault)
	}
	for i := range n.world.late {
		try("a late copy arrives", func(w *world) bool {
			r := w.late[i]
			w.late[i] = request{}
			if r.op != noOp {
				w.apply(r, x.rules)
			}
			return r.op != noOp
		})
	}
	for id := range int8(len(n.world.slots)) {
		try("bury", func(w *world) bool { return w.bury(id) })
		fault(func(f *faults) *int8 { return &f.remove }, "an operator removes a waiter", func(w *world) bool {
			if p := w.parts[owner(id)]; !w.isLive(id) || p.phase == atHead || p.phase == passing {
				return false
			}
			w.rev++
			w.mark(id, isRemoved, none)
			return true
		})
	}
	fault(func(f *faults) *int8 { return &f.compact }, "compaction", func(w *world) bool { w.compacted = w.rev; return w.rev > 0 })
	fault(func(f *faults) *int8 { return &f.sweep }, "sweep", func(w *world) bool { return w.sweep(x.rules) })
}

func (w *world) bury(id int8) bool {
	g := w.graves[id]
	if ph := w.parts[g.by].phase; g.mod == 0 || ph == waiting || ph == searching {
		return false
	}
	w.graves[id] = grave{}
	if w.at(id).mod == g.mod {
		w.rev++
		*w.at(id) = slot{}
	}
	return true
}

func (w *world) sweep(ru rules) bool {
	for _, s := range w.slots {
		if s.kind != isAbsent && !ru.sweepBlindly {
			return false
		}
	}
	if w.tail == none {
		return false
	}
	w.rev++
	w.setTail(none)
	return true
}

type (
	tryFunc   func(what string, f func(*world) bool)
	faultFunc func(budget func(*faults) *int8, what string, f func(*world) bool)
)

// acts adds what participant i can do.
func (x *explorer) acts(i int, ph phase, try tryFunc, fault faultFunc) {
	name := func(what string) string { return fmt.Sprintf("%d %s", i, what) }
	on := func(f func(w *world, p *part) bool) func(*world) bool {
		return func(w *world) bool { return f(w, &w.parts[i]) }
	}
	fault(func(f *faults) *int8 { return &f.crash }, name("crashes"), func(w *world) bool { w.crash(i); return true })
	try(name("resolves in the background"), on(func(w *world, p *part) bool { return x.resolveOrphan(w, p, i) }))
	try(name("tidies up"), on(func(w *world, p *part) bool { return w.tidies(p, x.rules) }))
	switch ph {
	case idle:
		x.joins(i, opJoin, try, fault)
		fault(func(f *faults) *int8 { return &f.try }, name("tries"), on(func(w *world, p *part) bool { return x.tries(w, p, i) }))
	case tryRead:
		try(name("looks whom tail names"), on(func(w *world, p *part) bool { return x.triesOn(w, p, int8(i)) }))
	case resolving:
		try(name("resolves"), on(func(w *world, p *part) bool { x.resolve(w, p); return true }))
		fault(func(f *faults) *int8 { return &f.giveUp }, name("gives up while resolving"), on(func(_ *world, p *part) bool {
			if p.orphan != none {
				return false
			}
			*p = forsaken(*p)
			return true
		}))
	case waiting:
		try(name("looks"), on(func(w *world, p *part) bool { return w.look(p, x.rules) && becameHead(w, p) }))
	case searching:
		try(name("searches"), on(func(w *world, p *part) bool { w.search(p, x.rules); return becameHead(w, p) }))
		fault(func(f *faults) *int8 { return &f.scan }, name("scans"), on(func(w *world, p *part) bool { w.scan(p, x.rules); return becameHead(w, p) }))
	case atHead:
		try(name("starts to pass"), on(func(_ *world, p *part) bool { p.phase = passing; return true }))
	case passing:
		x.sends(i, opPass, try, fault)
	case quitting:
		x.sends(i, opGiveUp, try, fault)
	}
	if ph == waiting || ph == searching {
		quit := on(func(_ *world, p *part) bool { p.phase = quitting; return true })
		fault(func(f *faults) *int8 { return &f.giveUp }, name("gives up"), quit)
		try(name("gives up its try"), on(func(w *world, p *part) bool {
			if !p.try || p.pred == none || !w.isLive(p.pred) {
				return false
			}
			p.phase = quitting
			return true
		}))
	}
}

// forsaken leaves the join to the background, and the acquisition.
func forsaken(p part) part {
	o := p.over()
	o.orphan = p.id
	return o
}

// becameHead notes the token. It is always true, for callers that go on.
func becameHead(w *world, p *part) bool {
	if p.phase == atHead {
		if p.rev <= w.lastToken {
			p.rev = 0 // the next check says that it overtook
		}
		w.lastToken = max(w.lastToken, p.rev)
	}
	return true
}

// joins sends a join with a fresh id.
func (x *explorer) joins(i int, op uint8, try tryFunc, fault faultFunc) {
	send := func(f func(w *world, p *part, r request)) func(*world) bool {
		return func(w *world) bool {
			p := &w.parts[i]
			if p.left == 0 || p.used == maxIDs {
				return false
			}
			r := request{op: op, id: int8(i)*maxIDs + p.used, pred: none, after: none, epoch: p.epoch, who: int8(i)}
			p.used++
			p.id, p.after, p.pred, p.phase = r.id, none, none, resolving
			if x.rules.noResolve {
				p.phase, p.id = idle, 0
			}
			f(w, p, r)
			return true
		}
	}
	try(fmt.Sprintf("%d joins", i), send(func(w *world, p *part, r request) { x.joined(w, p, r) }))
	fault(func(f *faults) *int8 { return &f.lost }, fmt.Sprintf("%d joins, and the answer is lost", i), send(func(w *world, _ *part, r request) { w.apply(r, x.rules) }))
	fault(func(f *faults) *int8 { return &f.late }, fmt.Sprintf("%d joins, late", i), send(func(w *world, _ *part, r request) { w.later(r) }))
}

func (x *explorer) joined(w *world, p *part, r request) {
	ok, prev := w.apply(r, x.rules)
	if !ok {
		return
	}
	p.phase, p.id, p.rev, p.pred = waiting, r.id, w.rev, prev
	if prev == none {
		p.phase = atHead
		becameHead(w, p)
	}
}

func (w *world) later(r request) {
	for i := range w.late {
		if w.late[i].op == noOp {
			w.late[i] = r
			return
		}
	}
}

func (x *explorer) tries(w *world, p *part, i int) bool {
	if p.left == 0 || p.used == maxIDs {
		return false
	}
	if w.tail != none && !x.rules.tryTrustsTail {
		p.phase, p.id = tryRead, w.tail
		return true
	}
	if w.tail != none && w.isLive(w.tail) {
		return false
	}
	op := opJoinEmpty
	if w.tail != none {
		op = opJoin
	}
	r := request{op: op, id: int8(i)*maxIDs + p.used, pred: none, after: none, epoch: p.epoch, who: int8(i)}
	p.used++
	p.id, p.after, p.pred, p.phase = r.id, none, none, resolving
	x.joined(w, p, r)
	if x.rules.tryTrustsTail {
		p.phase = atHead
		becameHead(w, p)
	}
	return true
}

// triesOn is TryJoin after it knows whom tail names.
func (x *explorer) triesOn(w *world, p *part, i int8) bool {
	named := p.id
	p.phase, p.id = idle, 0
	if w.isLive(named) {
		p.left-- // held
		return true
	}
	if p.used == maxIDs {
		p.left = 0
		return true
	}
	r := request{op: opJoin, id: i*maxIDs + p.used, pred: none, after: none, epoch: p.epoch, who: i}
	p.used++
	p.try, p.after = true, none
	x.joined(w, p, r)
	return true
}

// resolve finds out about a join without an answer.
func (x *explorer) resolve(w *world, p *part) {
	s := w.at(p.id)
	if s.kind == isAbsent {
		if !x.rules.noVoid {
			w.void[p.id] = p.epoch + 1
		}
		if p.used == maxIDs {
			p.left = 0
		}
		p.phase, p.id = idle, 0
		return
	}
	p.phase, p.rev, p.pred = waiting, s.create, none
	if x.rules.adoptedIsHead {
		p.phase = atHead
		becameHead(w, p)
	}
}

func (x *explorer) resolveOrphan(w *world, p *part, i int) bool {
	id := p.orphan
	if id == none {
		return false
	}
	p.orphan = none
	if w.at(id).kind == isAbsent {
		w.void[id] = p.epoch + 1
		return true
	}
	x.leaves(w, p, request{op: opGiveUp, id: id, pred: none, after: none, epoch: p.epoch, who: int8(i)})
	return true
}

// sends sends what ends the entry, until it is answered.
func (x *explorer) sends(i int, op uint8, try tryFunc, fault faultFunc) {
	req := func(p *part) request {
		return request{op: op, id: p.id, pred: p.pred, after: p.after, epoch: p.epoch, who: int8(i)}
	}
	try(fmt.Sprintf("%d leaves (%d)", i, op), func(w *world) bool {
		p := &w.parts[i]
		x.leaves(w, p, req(p))
		*p = p.over()
		return true
	})
	fault(func(f *faults) *int8 { return &f.lost }, fmt.Sprintf("%d leaves (%d), and the answer is lost", i, op), func(w *world) bool {
		w.apply(req(&w.parts[i]), x.rules)
		return true
	})
	fault(func(f *faults) *int8 { return &f.late }, fmt.Sprintf("%d leaves (%d), late", i, op), func(w *world) bool {
		w.later(req(&w.parts[i]))
		return true
	})
}
