package check

import (
	"slices"
	"strings"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// A Layout says where the keys of a recipe stand.
type Layout struct {
	Recipe string
	// Entry takes the key of an entry apart; ok is false for other keys. The oldest entry that is live is the owner's.
	Entry func(key string) (name string, ok bool)
	// Places, if it is not nil, is for recipes whose owners have places: those are their entries then.
	Places *Places
	// Sets says that entries of one id belong together.
	Sets bool
	// Data is the prefix of the keys that holders write; what follows is the name. Their value is a Stamp.
	Data string
	// Reused says that entries of one client have one name. Otherwise each name is used once.
	Reused bool
}

// A life is the time for which an entry was live: from its creation to the first write to it.
type life struct {
	name, key string
	token     int64 // its create revision
	lease     int64
	created   history.Time // seen
	head      int64        // the revision at which it became the owner; 0: never
	headSeen  history.Time
	end       int64 // the revision of its first modification or deletion; 0: none
	endSeen   history.Time
	deleted   bool // it ended by a deletion

	// Of a place:
	id     string // of the acquisition that has it
	shared bool
	waiter *waiter // as which it stood in line; nil if it did not
}

// A write is a change of a data key.
type write struct {
	name  string
	event history.Event
	token int64  // as the writer gave it
	op    string // the writer's number of the call
	owner *life  // the owner before that revision; of several the one with that token
}

// A holdID is what tells holds apart: several may have one token, and one key after the other.
type holdID struct {
	name, key string
	token     int64
}

func holdOf(op history.Op) holdID { return holdID{op.Name, op.Key, op.Token} }

type sessionOf struct {
	history.Who
	id int64
}

// An oracle knows who owned what at each revision.
type oracle struct {
	h      *history.History
	layout Layout
	v      *Verdict

	live    map[string][]*life // by name, in the order of creation: the first one is the owner
	owners  map[string][]*life // by name, in order: all that ever owned
	lives   map[holdID]*life
	byKey   map[string]*life // the last one of each key
	written []write
	lines   map[string]map[string]*waiter // who stands in line, by name and id
	stood   map[string]*waiter            // all that ever did, by id
	limits  map[string]int                // of lines
	thrones map[string]*throne            // what observers may see, by name

	released map[holdID]history.Op // what clients gave back
	closed   map[sessionOf]history.Op
}

func newOracle(h *history.History, layout Layout, v *Verdict) *oracle {
	o := &oracle{
		h: h, layout: layout, v: v,
		live: map[string][]*life{}, owners: map[string][]*life{}, lines: map[string]map[string]*waiter{}, stood: map[string]*waiter{}, limits: map[string]int{}, thrones: map[string]*throne{},
		lives: map[holdID]*life{}, byKey: map[string]*life{}, released: map[holdID]history.Op{}, closed: map[sessionOf]history.Op{},
	}
	for _, op := range h.Ops {
		switch op.Kind {
		case history.Release:
			o.released[holdOf(op)] = op
		case history.Close:
			o.closed[sessionOf{op.Who, op.Session}] = op
		}
	}
	for _, op := range h.Ops {
		if c, ok := o.closed[sessionOf{op.Who, op.Session}]; ok && op.Session != 0 && acquires(op) && op.Result == history.OK {
			o.closing(op, c)
		}
	}
	return o
}

// closing notes that the session of a hold was closed, which gives it back, perhaps before its holder does.
func (o *oracle) closing(op, c history.Op) {
	id := holdOf(op)
	r, called := o.released[id]
	if called && r.Return != 0 && r.Return < c.Call {
		return
	}
	if !called {
		r = op
		r.Kind, r.Call = history.Release, c.Call
	}
	r.Call, r.Result = min(r.Call, c.Call), history.Unknown
	o.released[id] = r
}

// replay goes through the events, a revision at a time.
func (o *oracle) replay() {
	events := o.h.Events
	var last int64
	for len(events) > 0 {
		rev, n := events[0].Rev, 1
		for n < len(events) && events[n].Rev == rev {
			n++
		}
		if rev <= last {
			o.v.violate("D2", "", events[0].Seen, "revision %d came after %d", rev, last)
		}
		last = rev
		o.revision(events[:n])
		events = events[n:]
	}
}

func (o *oracle) revision(events []history.Event) {
	for _, e := range events {
		if name, ok := strings.CutPrefix(e.Key, o.layout.Data); ok && !e.Delete {
			token, op := ReadStamp(e.Value)
			o.written = append(o.written, write{name, e, token, op, o.writer(name, token)})
		}
	}
	if o.layout.Places != nil {
		o.limit(events)
		o.reigns(events)
		o.inLine(events)
	}
	for _, e := range events {
		if name, ok := o.layout.Entry(e.Key); ok {
			o.entry(name, e)
		}
	}
	if o.layout.Places != nil {
		o.placed(events)
		return
	}
	for _, e := range events {
		if name, ok := o.layout.Entry(e.Key); ok {
			o.crown(name, e)
		}
	}
}

func (o *oracle) owner(name string) *life {
	if l := o.live[name]; len(l) > 0 {
		return l[0]
	}
	return nil
}

// writer is the owner that may write: of several, if each has what excludes no other, the one with that token.
func (o *oracle) writer(name string, token int64) (w *life) {
	if o.layout.Places == nil {
		return o.owner(name)
	}
	for _, l := range o.live[name] {
		if !l.shared && (w == nil || l.token == token) {
			w = l
		}
	}
	return w
}

// entry takes an event of an entry: its creation, or the first write to it.
func (o *oracle) entry(name string, e history.Event) {
	for i, l := range o.live[name] {
		if l.key == e.Key {
			l.end, l.endSeen, l.deleted = e.Rev, e.Seen, e.Delete
			o.live[name] = slices.Delete(o.live[name], i, i+1)
			break
		}
	}
	if !o.begins(e) {
		return
	}
	if o.byKey[e.Key] != nil && !o.layout.Reused {
		o.v.violate("L1", name, e.Seen, "revision %d created %s once more", e.Rev, e.Key)
	}
	l := &life{name: name, key: e.Key, token: e.Rev, lease: e.Lease, created: e.Seen}
	o.live[name] = append(o.live[name], l)
	o.lives[holdID{name, e.Key, e.Rev}] = l
	o.byKey[e.Key] = l
}

// crown notes who is the owner after the revision.
func (o *oracle) crown(name string, e history.Event) {
	l := o.owner(name)
	if l == nil || l.head != 0 {
		return
	}
	if before := o.owners[name]; len(before) > 0 && before[len(before)-1].token >= l.token {
		o.v.violate("M2", name, e.Seen, "token %d came after %d", l.token, before[len(before)-1].token)
	}
	l.head, l.headSeen = e.Rev, e.Seen
	o.owners[name] = append(o.owners[name], l)
}
