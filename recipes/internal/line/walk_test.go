package line

import (
	"hash/maphash"
	"slices"
	"unsafe"
)

// walk goes through all states of a model that can be reached, breadth first, and checks each. A state has no pointers.
type walk[W any] struct {
	model[W]
	seen  map[[2]uint64]int
	queue []visit[W]
	from  []step  // how each state was reached first, for the trace
	into  [][]int // the states that each is reached from by a step that is no fault
	done  []int   // states in which everybody has what it wanted
	seeds [2]maphash.Seed
}

// model is what there is to know of a state.
type model[W any] struct {
	canonical func(w W) W                  // one for all states that differ in nothing that matters
	wrong     func(w *W) string            // what must not be, "" if nothing is wrong
	over      func(w *W) bool              // everybody has what it wanted
	next      func(x *walk[W], v visit[W]) // adds all states that one step leads to
}

// visit is a state, and where it stands in from.
type visit[W any] struct {
	world W
	step  int
}

type step struct {
	parent int
	what   string
}

// walkThrough returns the shortest way to a state in which something is wrong, and how many states there are.
func walkThrough[W any](start W, m model[W], limit int) (trace []string, states int) {
	x := &walk[W]{model: m, seen: map[[2]uint64]int{}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	x.add(start, 0, "start", false)
	for len(x.queue) > 0 && len(x.seen) < limit {
		v := x.queue[0]
		x.queue = x.queue[1:]
		if wrong := x.wrong(&v.world); wrong != "" {
			return append(x.trace(v.step), wrong), len(x.seen)
		}
		if x.over(&v.world) {
			x.done = append(x.done, v.step)
		}
		x.next(x, v)
	}
	if len(x.queue) > 0 {
		return []string{"too many states"}, len(x.seen)
	}
	return x.stuck(), len(x.seen)
}

// stuck is the way to a state from which nothing leads to the end: nobody can move, or all move in circles.
func (x *walk[W]) stuck() []string {
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

func (x *walk[W]) add(w W, parent int, what string, fault bool) {
	c := x.canonical(w)
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&c)), unsafe.Sizeof(c))
	key := [2]uint64{maphash.Bytes(x.seeds[0], bytes), maphash.Bytes(x.seeds[1], bytes)}
	s, ok := x.seen[key]
	if !ok {
		s = len(x.from)
		x.seen[key] = s
		x.from = append(x.from, step{parent, what})
		x.into = append(x.into, nil)
		x.queue = append(x.queue, visit[W]{c, s})
	}
	if !fault {
		x.into[s] = append(x.into[s], parent)
	}
}

func (x *walk[W]) trace(at int) (trace []string) {
	for ; at > 0; at = x.from[at].parent {
		trace = append(trace, x.from[at].what)
	}
	slices.Reverse(trace)
	return trace
}

// ranks numbers revisions by rank, of all that each gives to f, and returns the largest.
func ranks(each func(f func(*int8))) (n int8) {
	var used [128]bool
	each(func(r *int8) { used[*r] = true })
	var rank [128]int8
	for r := 1; r < len(used); r++ {
		if used[r] {
			n++
			rank[r] = n
		}
	}
	each(func(r *int8) { *r = rank[*r] })
	return n
}
