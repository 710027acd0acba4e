package slots

// steps adds every state that one step leads to.
func (x *explorer) steps(w world, at int) {
	try := func(what string, f func(w *world) bool) {
		if next := w; f(&next) {
			x.add(next, at, what, false)
		}
	}
	fault := func(budget func(*faults) *int8, what string, f func(w *world) bool) {
		next := w
		if b := budget(&next.budget); *b > 0 {
			*b--
			if f(&next) {
				x.add(next, at, what, true)
			}
		}
	}
	for i := range w.parts {
		x.acts(i, &w, try, fault)
	}
	x.setter(&w, try, fault)
	for i, r := range w.late {
		if r.op != noOp {
			try("a late copy arrives", func(w *world) bool {
				w.late[i] = request{}
				w.apply(r, x.rules)
				return true
			})
		}
	}
}

type (
	tryFunc   func(what string, f func(*world) bool)
	faultFunc func(budget func(*faults) *int8, what string, f func(*world) bool)
)

func lost(f *faults) *int8   { return &f.lost }
func late(f *faults) *int8   { return &f.late }
func crash(f *faults) *int8  { return &f.crash }
func giveUp(f *faults) *int8 { return &f.giveUp }

// hold has r arrive later.
func (w *world) hold(r request) bool {
	for i := range w.late {
		if w.late[i].op == noOp {
			w.late[i] = r
			return true
		}
	}
	return false
}

// acts adds what participant i can do.
func (x *explorer) acts(i int, now *world, try tryFunc, fault faultFunc) {
	p := &now.parts[i]
	send := func(what string, op uint8) {
		prepare := func(w *world) (request, *part) {
			p := &w.parts[i]
			if op != opClaim && op != opRelease {
				p.id = int8(i*maxIDs) + p.used
				p.used++
			}
			return request{op: op, who: int8(i), id: p.id, n: p.n, epoch: p.epoch, view: p.view, has: p.has, token: p.token}, p
		}
		if op != opClaim && op != opRelease && p.used == maxIDs {
			return
		}
		try(name(i, what), func(w *world) bool {
			r, p := prepare(w)
			p.hears(w, r, w.apply(r, x.rules))
			return true
		})
		fault(lost, name(i, what+", unheard"), func(w *world) bool {
			r, p := prepare(w)
			w.apply(r, x.rules)
			p.unheard(r, x.rules)
			return true
		})
		fault(late, name(i, what+", delayed"), func(w *world) bool {
			r, p := prepare(w)
			p.unheard(r, x.rules)
			return w.hold(r)
		})
	}
	switch p.phase {
	case idle:
		if p.left > 0 {
			send("asks", opEnter)
		}
	case looked, queued:
		x.plans(i, now, send, try)
		fault(giveUp, name(i, "gives up"), func(w *world) bool {
			w.leave(w.parts[i].id)
			w.rev++
			w.parts[i].over()
			return true
		})
	case resolving:
		try(name(i, "resolves"), func(w *world) bool { w.resolve(&w.parts[i], x.rules); return true })
	case holding:
		try(name(i, "starts to release"), func(w *world) bool { w.parts[i].phase = releasing; return true })
	case releasing:
		send("releases", opRelease)
	}
	fault(crash, name(i, "crashes"), func(w *world) bool { return w.crash(i) })
}

// plans adds what one does who looks at the slots.
func (x *explorer) plans(i int, now *world, send func(string, uint8), try tryFunc) {
	p := now.parts[i]
	if p.phase == queued {
		if !now.stands(p.id) { // a claim without an answer was granted
			try(name(i, "looks"), func(w *world) bool { w.adopt(&w.parts[i]); return true })
			return
		}
		if now.queue[0] != p.id {
			return
		}
		if v := now.survey(); p.view.rev == 0 || v.taken != p.view.taken || v.limitRev != p.view.limitRev || v.look != p.view.look {
			try(name(i, "looks"), func(w *world) bool { w.parts[i].view = v; return true })
		}
		if p.view.rev == 0 {
			return
		}
	}
	mask, never := p.view.plan(p.n, x.rules)
	switch {
	case never:
		try(name(i, "is refused"), func(w *world) bool {
			w.leave(w.parts[i].id)
			w.rev++
			w.parts[i].over()
			return true
		})
	case p.phase == queued && mask != 0:
		send("claims", opClaim)
	case p.phase == looked && mask != 0 && p.view.alone:
		send("takes", opTake)
	case p.phase == looked:
		send("joins", opJoin)
	}
}

// over is the participant when its acquisition has ended.
func (p *part) over() { *p = part{n: p.n, used: p.used, left: p.left - 1, epoch: p.epoch} }

// hears takes an answer.
func (p *part) hears(w *world, r request, a answer) {
	switch {
	case r.op == opRelease:
		p.over()
	case a.took != 0:
		p.phase, p.has, p.token, p.view = holding, a.took, w.rev, seen{}
	case a.joined:
		p.phase, p.view = queued, seen{}
	case a.looked:
		p.phase, p.view = looked, w.survey()
	case r.op == opClaim: // its Else looks
		p.view = seen{}
	}
}

// unheard is a request without an answer.
func (p *part) unheard(r request, ru rules) {
	switch {
	case r.op == opRelease: // sent again: the guard holds once
	case r.op == opClaim:
		p.view = seen{} // it looks again: if it stands where it stood nothing was granted yet, and if not everything was
	case ru.neverResolves:
		p.phase, p.view = idle, seen{}
	default:
		p.phase, p.view = resolving, seen{}
	}
}

// adopt takes what stands there with its id.
func (w *world) adopt(p *part) (found bool) {
	for i, s := range w.slots {
		if s.id == p.id {
			p.phase, p.view, p.token, p.has = holding, seen{}, s.mod, p.has|1<<i
			found = true
		}
	}
	return found
}

// resolve finds out what became of it.
func (w *world) resolve(p *part, ru rules) {
	w.rev++
	stands := w.stands(p.id)
	if !stands && !ru.noVoid {
		w.void |= 1 << p.id
	}
	switch {
	case w.adopt(p):
	case stands:
		p.phase, p.view = queued, seen{}
	default:
		p.phase, p.view, p.id = idle, seen{}, 0
	}
}

// crash ends a participant's lease, and all keys on it.
func (w *world) crash(i int) bool {
	p := &w.parts[i]
	w.rev++
	for j, s := range w.slots {
		if s.id != none && owner(s.id) == int8(i) {
			w.slots[j].id, w.slots[j].mod = none, 0
		}
	}
	for id := int8(i * maxIDs); id < int8((i+1)*maxIDs); id++ {
		w.leave(id)
		w.void &^= 1 << id
	}
	left := p.left
	if p.phase != idle {
		left--
	}
	*p = part{n: p.n, used: p.used, left: max(left, 0), epoch: p.epoch + 1}
	return true
}

// setter adds what the one does who sets the limit.
func (x *explorer) setter(now *world, try tryFunc, fault faultFunc) {
	if now.next == maxSets {
		return
	}
	if now.reading == 0 {
		try("the limit is read", func(w *world) bool {
			if w.applied == w.next { // it is as it was to be
				w.next++
				return true
			}
			w.reading = 1
			return true
		})
		return
	}
	r := request{op: opSet, set: now.next, limit: now.sets[now.next], rev: now.limitRev}
	try("the limit is set", func(w *world) bool {
		w.reading = 0
		if w.apply(r, x.rules).ok {
			w.next++
		}
		return true
	})
	fault(lost, "the limit is set, unheard", func(w *world) bool { w.reading = 0; w.apply(r, x.rules); return true })
	fault(late, "the limit is to be set, delayed", func(w *world) bool { w.reading = 0; return w.hold(r) })
}
