package line

// leaves is the answer to a request that ends an entry: who has left tail naming nobody alive tidies up.
func (x *explorer) leaves(w *world, p *part, r request) {
	ok, tail := w.apply(r, x.rules)
	if x.rules.noTidy || ok && r.op == opPass {
		return
	}
	nobody := tail == r.id && (r.pred == none || !w.isLive(r.pred))
	if !ok || nobody {
		p.tidy = tidying{step: 1}
	}
}

// tidies is one step of tidying up: a read of the whole line, or the Txn after it.
func (w *world) tidies(p *part, ru rules) bool {
	t := &p.tidy
	switch t.step {
	case 0:
		return false
	case 1:
		*t = w.survey()
		return true
	}
	if t.tail != w.lastTail() && !ru.tidyBlindly || t.behind != none && !w.isLive(t.behind) && !ru.tidyTrusts {
		*t = tidying{step: 1}
		return true
	}
	w.rev++
	if t.behind != w.tail {
		w.setTail(t.behind)
	}
	for id := range int8(len(w.slots)) {
		if t.marks&(1<<id) != 0 && (!w.isLive(id) || ru.tidyBlindly) {
			*w.at(id) = slot{}
		}
	}
	*t = tidying{}
	return true
}

// survey is what a read of the whole line shows: the youngest live entry, and the marks behind it.
func (w *world) survey() tidying {
	t := tidying{step: 2, tail: w.lastTail(), behind: none}
	for id := range int8(len(w.slots)) {
		if w.isLive(id) && (t.behind == none || w.at(id).create > w.at(t.behind).create) {
			t.behind = id
		}
	}
	for id := range int8(len(w.slots)) {
		if s := w.at(id); s.kind != isAbsent && !w.isLive(id) && (t.behind == none || s.create > w.at(t.behind).create) {
			t.marks |= 1 << id
		}
	}
	return t
}

// lastTail is the revision at which tail was written last.
func (w *world) lastTail() int8 {
	if w.writes == 0 {
		return 0
	}
	return w.hist[w.writes-1].rev
}

// leftover says what stands in etcd when all have left, nothing is on its way, and nobody has crashed.
func (w *world) leftover() string {
	if !w.done() || w.crashed || w.late != [2]request{} {
		return ""
	}
	for _, g := range w.graves {
		if g.mod != 0 {
			return ""
		}
	}
	if w.tail != none {
		return "tail is left behind"
	}
	for _, s := range w.slots {
		if s.kind != isAbsent {
			return "a mark is left behind"
		}
	}
	return ""
}
