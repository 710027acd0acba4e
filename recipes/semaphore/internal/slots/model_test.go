package slots

import "slices"

// A model of what this package writes, for the checker in checker_test.go: etcd as far as it is used, and participants that act as Want and Writer
// do, one Txn at a time. The line is taken for what its own model has shown it to be: a queue.

// Sizes of the model.
const (
	places   = 3 // slots
	maxParts = 3
	maxIDs   = 8 // of each participant
	maxSets  = 3 // limits that are set, one after the other
	none     = int8(-1)
)

type phase uint8

const (
	idle      phase = iota
	looked          // has a view, and stands nowhere
	queued          // stands in line; with a view once it is at the head
	resolving       // has no answer
	holding
	releasing // until that is answered
)

// seen is a view, as of a revision; 0: none.
type seen struct {
	rev, limit, limitRev int8
	taken                uint8 // slots
	look, alone          bool
}

// part is a participant.
type part struct {
	phase phase
	n     int8 // permits that it wants
	id    int8
	view  seen
	has   uint8 // slots
	token int8
	used  int8 // ids
	left  int8 // acquisitions to go
	epoch int8 // of its lease
}

const (
	noOp    uint8 = iota
	opEnter       // knows nothing
	opTake        // has looked: takes, or goes to the end of the line
	opJoin        // has looked: goes to the end of the line
	opClaim       // at the head
	opRelease
	opSet
)

// request is a Txn that was sent, and may still be applied when nobody expects it any more.
type request struct {
	op         uint8
	who, id, n int8
	epoch      int8
	view       seen
	has        uint8
	token      int8
	set        int8 // opSet: which
	limit, rev int8
}

// answer is what a Txn has done.
type answer struct {
	took   uint8 // slots
	joined bool
	looked bool
	ok     bool
}

// world is a state of the model. It is its own key: it has no pointers.
type world struct {
	rev, limit, limitRev int8
	look                 bool
	slots                [places]struct{ id, mod int8 }
	void                 uint32 // ids
	queue                [maxParts]int8
	waiting              int8
	parts                [maxParts]part
	sets                 [maxSets]int8 // limits to set
	next                 int8          // which of them
	applied              int8          // the last of them that was
	reading              int8          // what the setter has read, plus 1
	late                 [2]request
	budget               faults
	flaw                 uint8 // what was seen to go wrong
}

type faults struct{ lost, late, crash, giveUp int8 }

// rules are the ways to break the model, one at a time: the checker must notice each.
type rules struct {
	blindNoLook   bool // whoever has read nothing does not compare p/look
	blindNoLimit  bool // nor the limit
	blindNoSlot   bool // nor the slot
	noCount       bool // a free slot below the limit is taken for enough
	noSince       bool // it is not compared that nobody has come since the view
	noLimitRev    bool // nor that the limit is as it was
	noFree        bool // nor that the slots are free
	drainBlindly  bool // p/look is deleted while a slot from the limit on is taken
	setNoLook     bool // lowering does not write p/look
	setLate       bool // SetLimit does not compare what it has read
	noVoid        bool // an id without an answer is not made void
	overtakes     bool // one who has looked does not compare that nobody waits
	noRefusal     bool // what is larger than the limit goes on waiting
	unguarded     bool // a release does not compare the token
	neverResolves bool // a request without an answer is forgotten
}

const (
	flawOver uint8 = 1 << iota
	flawOverwritten
	flawOvertaken
	flawSetBack
)

func owner(id int8) int8 { return id / maxIDs }

func (w *world) stands(id int8) bool {
	return slices.Contains(w.queue[:w.waiting], id)
}

func (w *world) leave(id int8) {
	for i, q := range w.queue[:w.waiting] {
		if q == id {
			copy(w.queue[i:], w.queue[i+1:])
			w.waiting--
			w.queue[w.waiting] = none
			return
		}
	}
}

func (w *world) taken() (mask uint8) {
	for i, s := range w.slots {
		if s.id != none {
			mask |= 1 << i
		}
	}
	return mask
}

func count(mask uint8) (n int8) {
	for ; mask != 0; mask &= mask - 1 {
		n++
	}
	return n
}

func (w *world) survey() seen {
	return seen{w.rev, w.limit, w.limitRev, w.taken(), w.look, w.waiting == 0}
}

// give gives slots to id, by whatever Txn.
func (w *world) give(id int8, mask uint8, head bool) {
	w.rev++
	for i := range w.slots {
		if mask&(1<<i) == 0 {
			continue
		}
		if w.slots[i].id != none {
			w.flaw |= flawOverwritten
		}
		w.slots[i].id, w.slots[i].mod = id, w.rev
	}
	if count(w.taken()) > w.limit {
		w.flaw |= flawOver
	}
	if w.waiting > 0 && (!head || w.queue[0] != id) {
		w.flaw |= flawOvertaken
	}
}

// plan is Want.Plan: the slots to take, none if they aren't to be had; never says that they never will.
func (v seen) plan(n int8, ru rules) (mask uint8, never bool) {
	if v.limit == 0 {
		return 0, false
	}
	if n > v.limit && !ru.noRefusal {
		return 0, true
	}
	for i := int8(0); i < v.limit && count(mask) < n; i++ {
		if v.taken&(1<<i) == 0 {
			mask |= 1 << i
		}
	}
	if count(mask) < n || count(v.taken)+n > v.limit && !ru.noCount {
		return 0, false
	}
	return mask, false
}

// granted is whether what Plan compares holds.
func (w *world) granted(v seen, mask uint8, ru rules) bool {
	if v.limitRev != w.limitRev && !ru.noLimitRev {
		return false
	}
	for i, s := range w.slots {
		switch {
		case s.id == none:
		case v.look && s.mod > v.rev && !ru.noSince:
			return false
		case !v.look && mask&(1<<i) != 0 && !ru.noFree:
			return false
		}
	}
	return true
}

// drain deletes p/look, if the view has nothing from the limit on.
func (w *world) drain(v seen, ru rules) {
	if v.look && (v.taken>>v.limit == 0 || ru.drainBlindly) {
		w.look = false
	}
}

// apply is etcd: it applies a Txn, whenever it comes.
func (w *world) apply(r request, ru rules) (a answer) {
	if r.op == opSet {
		return w.set(r, ru)
	}
	gone := w.parts[r.who].epoch != r.epoch // a Put that names a dead lease refuses the whole Txn
	switch r.op {
	case opEnter, opTake, opJoin:
		if w.void&(1<<r.id) != 0 || w.stands(r.id) {
			return a
		}
		return w.enter(r, gone, ru)
	case opClaim:
		mask, _ := r.view.plan(r.n, ru)
		if !w.stands(r.id) || gone || !w.granted(r.view, mask, ru) {
			return a
		}
		w.give(r.id, mask, true)
		w.drain(r.view, ru)
		w.leave(r.id)
		return answer{took: mask, ok: true}
	default: // opRelease
		for i := range w.slots {
			if s := &w.slots[i]; r.has&(1<<i) != 0 && (s.mod == r.token || ru.unguarded) && s.id != none {
				w.rev++
				s.id, s.mod = none, 0
			}
		}
		return answer{ok: true}
	}
}

// enter is Blind or a grant by one who has looked, and otherwise Gate.
func (w *world) enter(r request, gone bool, ru rules) answer {
	alone := w.waiting == 0
	mask := uint8(0)
	switch {
	case r.op == opEnter && alone && r.n == 1 && (!w.look || ru.blindNoLook):
		for i, s := range w.slots {
			if (s.id == none || ru.blindNoSlot) && (w.limit > int8(i) || ru.blindNoLimit) {
				mask = 1 << i
				break
			}
		}
	case r.op == opTake && (alone || ru.overtakes):
		if want, _ := r.view.plan(r.n, ru); w.granted(r.view, want, ru) {
			mask = want
		}
	}
	blind := r.op == opEnter && alone
	switch {
	case gone:
		return answer{}
	case mask != 0:
		w.give(r.id, mask, false)
		if r.op == opTake {
			w.drain(r.view, ru)
		}
		return answer{took: mask, ok: true}
	case blind && (r.n > 1 || w.look || w.limit == 0), w.limit < r.n && w.limit > 0 && !ru.noRefusal:
		return answer{looked: true, ok: true}
	}
	w.rev++
	w.queue[w.waiting] = r.id
	w.waiting++
	return answer{joined: true, ok: true}
}

func (w *world) set(r request, ru rules) answer {
	if w.limitRev != r.rev && !ru.setLate {
		return answer{}
	}
	if r.set < w.applied {
		w.flaw |= flawSetBack
	}
	w.rev++
	w.limit, w.limitRev, w.applied = r.limit, w.rev, r.set
	w.look = w.taken()>>r.limit != 0 && !ru.setNoLook
	return answer{ok: true}
}

// wrong says which invariant does not hold.
func (w *world) wrong() string {
	switch {
	case w.flaw&flawOver != 0:
		return "S1: more permits than the limit"
	case w.flaw&flawOverwritten != 0:
		return "a slot was taken from its holder"
	case w.flaw&flawOvertaken != 0:
		return "somebody overtook"
	case w.flaw&flawSetBack != 0:
		return "a late copy has set the limit back"
	case !w.look && w.taken()>>w.limit != 0:
		return "J: a slot from the limit on is taken, and nobody is told to look"
	}
	for _, s := range w.slots {
		if s.id != none && !w.known(s.id) {
			return "a permit that nobody has"
		}
	}
	for i, p := range w.parts {
		for j, s := range w.slots {
			if p.phase == holding && p.has&(1<<j) != 0 && (s.id != p.id || owner(s.id) != int8(i)) {
				return "a holder without its slot"
			}
		}
	}
	return ""
}

// known reports whether somebody has what id has, or may find out about it.
func (w *world) known(id int8) bool {
	p := &w.parts[owner(id)]
	return p.id == id && (p.phase == holding || p.phase == releasing || p.phase == resolving || p.phase == queued)
}
