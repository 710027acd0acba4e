package line

import (
	"fmt"
	"hash/maphash"
	"slices"
	"unsafe"
)

// explorer walks through all states of the model that can be reached, breadth first, and checks each.
type explorer struct {
	rules rules
	seen  map[[2]uint64]struct{}
	queue []node
	from  []step // how each node was reached, for the trace
	seeds [2]maphash.Seed
}

type node struct {
	world world
	step  int // in from
}

type step struct {
	parent int
	what   string
}

// explore returns the shortest way to a state in which something is wrong, and how many states there are.
func explore(start world, ru rules, limit int) (trace []string, states int) {
	x := &explorer{rules: ru, seen: map[[2]uint64]struct{}{}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	x.add(start, 0, "start")
	for len(x.queue) > 0 && len(x.seen) < limit {
		n := x.queue[0]
		x.queue = x.queue[1:]
		if wrong := n.world.wrong(); wrong != "" {
			return append(x.trace(n.step), wrong), len(x.seen)
		}
		if !x.successors(n) && !n.world.done() {
			return append(x.trace(n.step), "stuck"), len(x.seen)
		}
	}
	return nil, len(x.seen)
}

func (x *explorer) add(w world, parent int, what string) {
	c := w.canonical()
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&c)), unsafe.Sizeof(c))
	key := [2]uint64{maphash.Bytes(x.seeds[0], bytes), maphash.Bytes(x.seeds[1], bytes)}
	if _, ok := x.seen[key]; ok {
		return
	}
	x.seen[key] = struct{}{}
	x.from = append(x.from, step{parent, what})
	x.queue = append(x.queue, node{c, len(x.from) - 1})
}

func (x *explorer) trace(at int) (trace []string) {
	for ; at > 0; at = x.from[at].parent {
		trace = append(trace, x.from[at].what)
	}
	slices.Reverse(trace)
	return trace
}

// canonical numbers revisions by rank, so that states which differ in nothing else are one.
func (w world) canonical() world {
	var used [128]bool
	each := func(f func(*int8)) {
		for i := range w.writes {
			f(&w.hist[i].rev)
		}
		for i := range w.slots {
			f(&w.slots[i].create)
			f(&w.slots[i].mod)
			f(&w.graves[i])
		}
		for i := range w.parts {
			f(&w.parts[i].rev)
			f(&w.parts[i].walk)
		}
		f(&w.compacted)
		f(&w.lastToken)
	}
	each(func(r *int8) { used[*r] = true })
	var rank [128]int8
	n := int8(0)
	for r := 1; r < len(used); r++ {
		if used[r] {
			n++
			rank[r] = n
		}
	}
	each(func(r *int8) { *r = rank[*r] })
	w.rev = n
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
	return ""
}

// wanted reports whether somebody knows the entry, or may find out about it.
func (w *world) wanted(id int8) bool {
	p := &w.parts[owner(id)]
	return p.orphan == id || p.id == id && p.phase != idle && p.phase != tryRead
}

func (w *world) done() bool {
	for i := range w.parts {
		if w.parts[i].phase != idle || w.parts[i].left > 0 || w.parts[i].orphan != none {
			return false
		}
	}
	return true
}
