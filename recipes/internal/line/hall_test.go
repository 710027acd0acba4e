package line

// A model of a line with places, for the checker in hall_checker_test.go: a hall in which guests read together or write alone. What the line itself
// does is in model_test.go: here whoever stands in line knows who is before it, and a give-up tidies up at once. The names follow the code's.

// Sizes of the model: guests, ids that each may use, and numbers of the places in which each reads.
const (
	hallGuests = 3
	hallIDs    = 4
	hallNums   = 2
)

// How an entry of the hall's line is.
const (
	notThere int8 = iota
	stands
	marked // it was let in by somebody else, or let others in
)

// seat is a place. It is free if rev is 0.
type seat struct{ id, rev int8 }

// hall is a state of the model. It has no pointers: assignment copies it.
type hall struct {
	rev     int8
	tail    int8
	entries [hallGuests * hallIDs]struct{ state, rev int8 }
	void    uint16 // by id
	writer  seat
	readers [hallGuests][hallNums]seat
	guests  [hallGuests]guest
	late    [2]message
	budget  hallFaults
	bad     int8 // in hallWrongs: what a Txn, or an answer, has shown to be wrong
	crashed bool
}

var hallWrongs = [...]string{"", "somebody is overtaken", "who stands in line is out of it, with nothing", "what was exchanged is not there"}

// hallFaults are what may still happen.
type hallFaults struct{ lost, late, crash, giveUp, downgrade int8 }

const (
	hIdle int8 = iota
	hResolving
	hWaiting
	hNext
	hReady // at the head: it has read who is behind, and claims
	hHolding
	hExchanging
	hReleasing
)

// guest is a participant.
type guest struct {
	phase    int8
	turn     int8 // acquisitions so far
	turns    int8 // and in all
	reads    int8 // a bit for each that reads
	used     int8 // ids
	id       int8
	num      int8 // of the place it reads in, plus 1
	taken    int8 // a bit for each number
	token    int8
	run      uint16 // whom it is about to let in
	claiming bool   // a claim had no answer
	mark     bool   // there is a mark on its entry, to be deleted with its place
	writes   bool   // it holds the writer's place
	epoch    int8   // of its lease
	chore    chore
}

// chore is what an acquisition that failed leaves to the background.
type chore struct {
	stage    int8 // 0: there is none
	id       int8
	num      int8
	token    int8
	doubt    bool // a claim, or a leave, had no answer
	mark     bool
	writes   bool
	exchange int8 // the token of the writer's place that it may have exchanged
}

const (
	cResolving int8 = iota + 1
	cLeaving
	cLooking
	cReleasing
	cDropping
)

// message is a Txn that was sent, and may still be applied when nobody expects it any more.
type message struct {
	op     int8 // 0: there is none
	id     int8
	num    int8
	token  int8
	who    int8
	epoch  int8
	run    uint16
	reads  bool
	unmark bool
}

const (
	hTake int8 = iota + 1
	hClaim
	hRelease
	hExchange
	hLeave
	hDrop
)

// hallRules are the ways to break the model, one at a time: the checker must notice each.
type hallRules struct {
	noVoid         bool // resolving leaves no void key
	bargeIn        bool // the first request doesn't compare that nobody stands in line
	readersIgnore  bool // a reader's claim does not compare the writer's place
	writersIgnore  bool // a writer's claim does not compare the readers' places
	claimUnguarded bool // a claim does not compare the own entry
	runUnguarded   bool // who lets others in doesn't compare that they stand in line
	runSkips       bool // those let in need not stand right behind
	releaseByName  bool // a release compares no revision
	exchangeInTwo  bool // what is exchanged is given back first
	noLook         bool // who gives up doesn't look whether it was let in
	noUnmark       bool // the mark stays when the place goes
	dropForgets    bool // a failed exchange gives back the old place alone
	freeTooSoon    bool // a number is free when its acquisition has failed
	oldToken       bool // after an exchange the old token is believed
}

func (h *hall) fit(m message, ru hallRules) bool {
	if m.reads {
		return (h.writer.rev == 0 || ru.readersIgnore) && h.readers[m.who][m.num-1].rev == 0
	}
	for _, seats := range h.readers {
		for _, s := range seats {
			if s.rev != 0 && !ru.writersIgnore {
				return false
			}
		}
	}
	return h.writer.rev == 0
}

// sit gives id its place.
func (h *hall) sit(id int8, reads bool, num int8) {
	if reads {
		h.readers[id/hallIDs][num-1] = seat{id, h.rev}
	} else {
		h.writer = seat{id, h.rev}
	}
}

// inTurn notes whether somebody stands in line still who came before id did; since is when that was, 0 if it never stood there.
func (h *hall) inTurn(since int8) {
	for _, e := range h.entries {
		if e.state == stands && (since == 0 || e.rev < since) {
			h.bad = 1
		}
	}
}

// apply is etcd: it applies a Txn, whenever it comes, and tells whether its condition held.
func (h *hall) apply(m message, ru hallRules) (ok bool) {
	alive := h.guests[m.who].epoch == m.epoch
	switch m.op {
	case hTake:
		if !alive || h.entries[m.id].state != notThere || h.void&(1<<m.id) != 0 {
			return false
		}
		h.rev++
		if (h.tail == none || ru.bargeIn) && h.fit(m, ru) {
			h.sit(m.id, m.reads, m.num)
			h.inTurn(0)
			return true
		}
		h.entries[m.id].state, h.entries[m.id].rev = stands, h.rev
		h.tail = m.id
	case hClaim:
		return alive && h.claim(m, ru)
	case hRelease:
		return h.release(m, ru)
	case hExchange:
		if !alive || h.writer.rev != m.token && !ru.exchangeInTwo || h.readers[m.who][m.num-1].rev != 0 {
			return false
		}
		h.rev++
		if h.writer.rev == m.token {
			h.writer = seat{}
		}
		h.sit(m.id, true, m.num)
	case hLeave:
		if h.entries[m.id].state != stands || !alive {
			return false
		}
		h.rev++
		h.entries[m.id].state = notThere
		h.goes(m.id)
	case hDrop:
		if h.writer.rev != m.token {
			return false
		}
		h.rev++
		h.writer = seat{}
		h.unmark(m)
	}
	return true
}

// goes has tail name somebody else than id: the youngest who stands there, or nobody.
func (h *hall) goes(id int8) {
	if h.tail != id {
		return
	}
	h.tail = none
	for other, e := range h.entries {
		if e.state == stands && (h.tail == none || e.rev > h.entries[h.tail].rev) {
			h.tail = int8(other)
		}
	}
}

func (h *hall) claim(m message, ru hallRules) bool {
	own := &h.entries[m.id]
	if own.state != stands && !ru.claimUnguarded || !h.fit(m, ru) {
		return false
	}
	for id := range h.entries {
		if m.run&(1<<id) != 0 && (h.entries[id].state != stands && !ru.runUnguarded || h.readers[id/hallIDs][h.numOf(int8(id))-1].rev != 0) {
			return false
		}
	}
	h.rev++
	h.sit(m.id, m.reads, m.num)
	own.state = notThere
	if m.run != 0 {
		own.state = marked
	}
	last := own.rev
	for id := range h.entries {
		if m.run&(1<<id) != 0 {
			h.sit(int8(id), true, h.numOf(int8(id)))
			h.entries[id].state = marked
			last = max(last, h.entries[id].rev)
		}
	}
	for id := range h.entries {
		if h.entries[id].state != stands {
			h.goes(int8(id))
		}
	}
	h.inTurn(last)
	return true
}

// wants is the number of the place that the entry id wants to read in, plus 1, and 0 if it wants to write.
func (h *hall) wants(id int8) int8 {
	if g := &h.guests[id/hallIDs]; g.chore.stage == 0 || g.chore.id != id {
		return g.num
	}
	return h.guests[id/hallIDs].chore.num
}

func (h *hall) numOf(id int8) int8 { return max(h.wants(id), 1) }

func (h *hall) release(m message, ru hallRules) bool {
	s := &h.writer
	if m.reads {
		s = &h.readers[m.who][m.num-1]
	}
	held := s.rev == m.token || ru.releaseByName
	h.rev++
	if held {
		*s = seat{}
	}
	if !ru.noUnmark {
		h.unmark(m)
	}
	return held
}

func (h *hall) unmark(m message) {
	if m.unmark && h.entries[m.id].state == marked {
		h.entries[m.id].state = notThere
	}
}

// place is where id sits.
func (h *hall) place(id int8) (s seat, writes, ok bool) {
	if h.writer.rev != 0 && h.writer.id == id {
		return h.writer, true, true
	}
	for _, s := range h.readers[id/hallIDs] {
		if s.rev != 0 && s.id == id {
			return s, false, true
		}
	}
	return seat{}, false, false
}
