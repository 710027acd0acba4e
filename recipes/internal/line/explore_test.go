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
	seen  map[[2]uint64]int
	queue []node
	from  []step  // how each state was reached first, for the trace
	into  [][]int // the states that each is reached from by a step that is no fault
	done  []int   // states in which everybody has what it wanted
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
	x := &explorer{rules: ru, seen: map[[2]uint64]int{}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	x.add(start, 0, "start", false)
	for len(x.queue) > 0 && len(x.seen) < limit {
		n := x.queue[0]
		x.queue = x.queue[1:]
		if wrong := n.world.wrong(); wrong != "" {
			return append(x.trace(n.step), wrong), len(x.seen)
		}
		if n.world.done() {
			x.done = append(x.done, n.step)
		}
		x.successors(n)
	}
	if len(x.queue) > 0 {
		return []string{"too many states"}, len(x.seen)
	}
	return x.stuck(), len(x.seen)
}

// stuck is the way to a state from which nothing leads to the end: nobody can move, or all move in circles.
func (x *explorer) stuck() []string {
	ends := make([]bool, len(x.from))
	for _, s := range x.done {
		ends[s] = true
	}
	for todo := x.done; len(todo) > 0; {
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

func (x *explorer) add(w world, parent int, what string, fault bool) {
	c := w.canonical()
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&c)), unsafe.Sizeof(c))
	key := [2]uint64{maphash.Bytes(x.seeds[0], bytes), maphash.Bytes(x.seeds[1], bytes)}
	s, ok := x.seen[key]
	if !ok {
		s = len(x.from)
		x.seen[key] = s
		x.from = append(x.from, step{parent, what})
		x.into = append(x.into, nil)
		x.queue = append(x.queue, node{c, s})
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
