package line

// A model of the line, for the checker in checker_test.go: etcd as far as the line uses it, and participants that act by the rules of
// this package's comment, one request at a time. The names follow the code's.

// Sizes of the model: participants, ids that each may use, and writes of tail that are remembered.
const (
	maxParts = 4
	maxIDs   = 5 // of each participant
	maxHist  = 40
	none     = int8(-1)
)

type kind uint8

const (
	isAbsent kind = iota
	isLive
	isPassed
	isGone
	isRemoved
)

// slot is the key e/<id>.
type slot struct {
	kind        kind
	create, mod int8
	behind      int8 // of a gone mark; none: unknown
	epoch       int8 // of the lease that it is on
}

type phase uint8

const (
	idle      phase = iota
	tryRead         // TryJoin: knows whom tail names
	resolving       // a join was not answered
	waiting         // behind pred, or to search if that is none
	searching       // reads history before walk
	atHead
	passing  // until a pass is answered
	quitting // until a give-up is answered
)

// part is a participant.
type part struct {
	phase  phase
	id     int8 // of the entry, or that tail names in tryRead
	rev    int8
	pred   int8
	after  int8
	walk   int8
	used   int8 // ids
	left   int8 // acquisitions to go
	epoch  int8 // of its lease
	try    bool
	orphan int8 // an id that is resolved, and given up, in the background; none
	tidy   tidying
}

// tidying is what a participant that has left may still have to do in the background.
type tidying struct {
	step   int8   // 0: nothing; 1: to read; 2: has read
	tail   int8   // the revision of the last write of tail that it has read
	behind int8   // whom tail is to name; none: nobody
	marks  uint32 // to delete, by id
}

// request is a Txn that was sent, and may still be applied when nobody expects it any more.
type request struct {
	op    uint8 // 0: there is none
	id    int8
	pred  int8
	after int8
	epoch int8
	who   int8
}

const (
	noOp uint8 = iota
	opJoin
	opJoinEmpty
	opPass
	opGiveUp
)

type write struct{ rev, tail int8 }

// grave is a mark that somebody has moved past, and deletes when it no longer waits.
type grave struct{ mod, by int8 } // mod 0: none

// world is a state of the model. It has no pointers: assignment copies it.
type world struct {
	rev       int8
	tail      int8
	hist      [maxHist]write
	writes    int8
	compacted int8 // what was before this revision is forgotten
	slots     [maxParts * maxIDs]slot
	void      [maxParts * maxIDs]int8 // the epoch of the lease that voids it, plus 1; 0: it isn't void
	graves    [maxParts * maxIDs]grave
	parts     [maxParts]part
	late      [2]request
	lastToken int8
	budget    faults
	crashed   bool // somebody has: what it left is the sweep's
}

// faults are what may still happen.
type faults struct{ lost, late, crash, giveUp, try, remove, compact, scan, sweep int8 }

// rules are the ways to break the model, one at a time: the checker must notice each.
type rules struct {
	noVoid          bool // resolve looks, and leaves no void key
	noVoidCompare   bool // a join does not compare that its id is void
	tailWhenUnknown bool // who gives up, is last and doesn't know its predecessor removes tail
	goneIsPassed    bool // a gone mark counts as the head passed on
	deletedIsPassed bool // a predecessor deleted without a mark counts as the head passed on
	passUnguarded   bool // pass does not compare the own mod revision
	tryTrustsTail   bool // TryJoin takes a tail that names nobody alive for a free line
	adoptedIsHead   bool // an entry that was found after a lost answer counts as the head
	sweepBlindly    bool // the sweep does not look whether there are entries
	scanTakesOldest bool // the scan takes the oldest live entry for the predecessor
	searchFollows   bool // the search goes where a gone mark points
	ownIgnored      bool // a waiter does not look at its own entry
	noResolve       bool // a join without an answer is forgotten
	noTidy          bool // who leaves tail naming nobody alive does not tidy up
	tidyBlindly     bool // tidying up does not compare that tail is as it was read
	tidyTrusts      bool // tidying up does not compare that whom tail is to name is still there
}

func (w *world) at(id int8) *slot { return &w.slots[id] }

func owner(id int8) int8 { return id / maxIDs }

func (w *world) setTail(id int8) {
	w.tail = id
	w.hist[w.writes] = write{w.rev, id}
	w.writes++
}

// before is the last write of tail before rev.
func (w *world) before(rev int8) (write, bool) {
	for i := w.writes - 1; i >= 0; i-- {
		if w.hist[i].rev < rev {
			return w.hist[i], true
		}
	}
	return write{}, false
}

func (w *world) isLive(id int8) bool {
	s := w.at(id)
	return s.kind != isAbsent && s.mod == s.create
}

// apply is etcd: it applies a Txn, whenever it comes, and tells whether its condition held and what tail was before.
func (w *world) apply(r request, ru rules) (ok bool, prev int8) {
	prev = w.tail
	leaseGone := w.parts[r.who].epoch != r.epoch
	switch r.op {
	case opJoin, opJoinEmpty:
		voided := w.void[r.id] != 0 && !ru.noVoidCompare
		if leaseGone || w.at(r.id).kind != isAbsent || voided || r.op == opJoinEmpty && w.tail != none {
			return false, prev
		}
		w.rev++
		*w.at(r.id) = slot{kind: isLive, create: w.rev, mod: w.rev, behind: none, epoch: r.epoch}
		w.setTail(r.id)
		return true, prev
	case opPass:
		if !w.isLive(r.id) && !ru.passUnguarded {
			return false, prev
		}
		if w.tail != r.id && leaseGone {
			return false, prev // a Put that names a dead lease
		}
		w.rev++
		if w.tail == r.id {
			w.setTail(none)
			*w.at(r.id) = slot{}
		} else {
			w.mark(r.id, isPassed, none)
		}
		if r.after != none {
			*w.at(r.after) = slot{}
		}
		return true, prev
	default: // opGiveUp
		if !w.isLive(r.id) {
			return false, prev
		}
		w.rev++
		switch last := w.tail == r.id; {
		case r.pred != none && last:
			w.setTail(r.pred)
			*w.at(r.id) = slot{}
		case r.pred == none && last && ru.tailWhenUnknown:
			w.setTail(none)
			*w.at(r.id) = slot{}
		default:
			w.mark(r.id, isGone, r.pred)
		}
		return true, prev
	}
}

func (w *world) mark(id int8, k kind, behind int8) {
	s := w.at(id)
	if s.kind == isAbsent {
		s.create, s.epoch = w.rev, w.parts[owner(id)].epoch
	}
	s.kind, s.mod, s.behind = k, w.rev, behind
}

// crash ends a participant's lease, and all keys on it.
func (w *world) crash(i int) {
	w.rev++
	for id := i * maxIDs; id < (i+1)*maxIDs; id++ {
		w.slots[id], w.void[id] = slot{}, 0
	}
	p := &w.parts[i]
	if p.phase == atHead || p.phase == passing || p.phase == quitting {
		p.left--
	}
	*p = part{used: p.used, left: p.left, epoch: p.epoch + 1, orphan: none} // its background tasks end with it
	w.crashed = true
}

// past is Entry.past: what became of the predecessor.
func (w *world) past(p *part, id int8, ru rules) {
	p.pred = none
	switch s := w.at(id); s.kind {
	case isPassed:
		p.phase, p.after = atHead, id
	case isGone, isRemoved:
		if s.kind == isGone && ru.goneIsPassed {
			p.phase, p.after = atHead, none
			return
		}
		w.graves[id] = grave{s.mod, owner(p.id)}
		p.pred = s.behind
	case isAbsent:
		if ru.deletedIsPassed {
			p.phase = atHead
		}
	}
}

// look is one look of a waiter at both entries. It is false when there is nothing new.
func (w *world) look(p *part, ru rules) bool {
	if !w.isLive(p.id) && !ru.ownIgnored {
		w.out(p)
		return true
	}
	if p.pred == none {
		p.phase, p.walk = searching, p.rev
		return true
	}
	if w.isLive(p.pred) {
		return false
	}
	w.past(p, p.pred, ru)
	return true
}

// search is one step back in history.
func (w *world) search(p *part, ru rules) {
	if p.walk <= w.compacted {
		w.scan(p, ru)
		return
	}
	h, ok := w.before(p.walk)
	if !ok || h.tail == none {
		w.first(p, ru)
		return
	}
	s := w.at(h.tail)
	switch {
	case w.isLive(h.tail):
		p.phase, p.pred = waiting, h.tail
	case s.kind == isPassed:
		p.after = h.tail
		w.first(p, ru)
	case s.kind == isGone || s.kind == isRemoved:
		w.graves[h.tail] = grave{s.mod, owner(p.id)}
		if s.behind != none && ru.searchFollows {
			p.phase, p.pred = waiting, s.behind
			return
		}
		p.walk = h.rev
	default:
		p.walk = h.rev
	}
}

// scan is the way without history.
func (w *world) scan(p *part, ru rules) {
	youngest := none
	for id := range int8(len(w.slots)) {
		s := w.at(id)
		if w.isLive(id) && s.create < p.rev && (youngest == none || (s.create > w.at(youngest).create) != ru.scanTakesOldest) {
			youngest = id
		}
	}
	for id := range int8(len(w.slots)) {
		s := w.at(id)
		if s.kind != isAbsent && !w.isLive(id) && s.create < p.rev && (youngest == none || s.create > w.at(youngest).create) {
			w.graves[id] = grave{s.mod, owner(p.id)}
		}
	}
	if youngest == none {
		w.first(p, ru)
		return
	}
	p.phase, p.pred = waiting, youngest
}

func (w *world) first(p *part, ru rules) {
	if !w.isLive(p.id) && !ru.ownIgnored {
		w.out(p)
		return
	}
	p.phase = atHead
}

// over is the participant when its acquisition has ended.
func (p part) over() part {
	return part{used: p.used, left: p.left - 1, epoch: p.epoch, orphan: p.orphan, tidy: p.tidy}
}

// out is Entry.out: somebody has removed the entry.
func (w *world) out(p *part) {
	if s := w.at(p.id); s.kind != isAbsent {
		w.graves[p.id] = grave{s.mod, owner(p.id)}
	}
	*p = p.over()
	p.tidy = tidying{step: 1} // it gives up, and finds that it is not there
}
