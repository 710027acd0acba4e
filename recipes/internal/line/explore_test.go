package line

import "fmt"

// explorer goes through the states of a world by some rules.
type explorer struct {
	*walk[world]
	rules rules
}

type node = visit[world]

// explore returns the shortest way to a state in which something is wrong, and how many states there are.
func explore(start world, ru rules, limit int) (trace []string, states int) {
	return walkThrough(start, model[world]{
		canonical: world.canonical, wrong: (*world).wrong, over: (*world).done,
		next: func(x *walk[world], v node) { (&explorer{x, ru}).successors(v) },
	}, limit)
}

// canonical numbers revisions by rank, so that states which differ in nothing else are one.
func (w world) canonical() world {
	each := func(f func(*int8)) {
		for i := range w.writes {
			f(&w.hist[i].rev)
		}
		for i := range w.slots {
			f(&w.slots[i].create)
			f(&w.slots[i].mod)
			f(&w.graves[i].mod)
		}
		for i := range w.parts {
			f(&w.parts[i].rev)
			f(&w.parts[i].walk)
		}
		for i := range w.parts {
			f(&w.parts[i].tidy.tail)
		}
		f(&w.compacted)
		f(&w.lastToken)
	}
	w.rev = ranks(each)
	return w
}

// wrong says which invariant does not hold.
func (w *world) wrong() string {
	heads := 0
	for i := range w.parts {
		p := &w.parts[i]
		if p.phase != atHead {
			continue
		}
		if heads++; heads > 1 {
			return "two heads"
		}
		if !w.isLive(p.id) {
			return fmt.Sprintf("participant %d is at the head without an entry", i)
		}
		for id := range int8(len(w.slots)) {
			if w.isLive(id) && w.at(id).create < p.rev {
				return fmt.Sprintf("participant %d overtook entry %d", i, id)
			}
		}
	}
	for id := range int8(len(w.slots)) {
		if w.isLive(id) && !w.wanted(id) {
			return fmt.Sprintf("entry %d is a ghost", id)
		}
	}
	return w.leftover()
}

// wanted reports whether somebody knows the entry, or may find out about it.
func (w *world) wanted(id int8) bool {
	p := &w.parts[owner(id)]
	return p.orphan == id || p.id == id && p.phase != idle && p.phase != tryRead
}

func (w *world) done() bool {
	for i := range w.parts {
		if w.parts[i].phase != idle || w.parts[i].left > 0 || w.parts[i].orphan != none || w.parts[i].tidy.step != 0 {
			return false
		}
	}
	return true
}
