package check

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// Places says how a recipe's owners hold places, for which they stand in line.
type Places struct {
	// Line takes the key of somebody who stands in line apart.
	Line func(key string) (name, id string, ok bool)
	// Shared tells whether others may have places beside the one at key. Nil: no.
	Shared func(key string) bool
	// Queue is the line in which those stand who want name, if that is one of several that they stand in line for. Nil: its own.
	Queue func(name string) string
	// Limit tells which line's limit stands at key: at most so many have places that stand for one line. Nil: there is none.
	Limit func(key string) (name string, ok bool)
	// Handed says that a place may be handed over, to whoever stands in line: then it is written again.
	Handed bool
	// Proclaimed tells whose place the value at key stands beside, which observers see. Nil: there are no observers.
	Proclaimed func(key string) (name string, ok bool)
}

// begins tells whether the event gives somebody a place, or makes an entry.
func (o *oracle) begins(e history.Event) bool {
	return e.Live() || !e.Delete && o.layout.Places != nil && o.layout.Places.Handed
}

// queue is the line in which those stand who want name.
func (o *oracle) queue(name string) string {
	if p := o.layout.Places; p != nil && p.Queue != nil {
		return p.Queue(name)
	}
	return name
}

// A waiter is somebody in line, from the creation of its entry to the first write to it.
type waiter struct {
	id      string
	create  int64
	created history.Time // seen
}

// idOf is the acquisition that a place names.
func idOf(e history.Event) string {
	var v struct{ ID string }
	_ = json.Unmarshal([]byte(e.Value), &v) // then it names nobody
	return v.ID
}

// inLine takes the events of a revision in which places may be given: nobody who stands in line still may have stood before (F1).
func (o *oracle) inLine(events []history.Event) {
	for _, e := range events {
		name, id, ok := o.layout.Places.Line(e.Key)
		if !ok {
			continue
		}
		if delete(o.lines[name], id); !e.Live() {
			continue
		}
		if o.lines[name] == nil {
			o.lines[name] = map[string]*waiter{}
		}
		o.stood[id] = &waiter{id, e.Create, e.Seen}
		o.lines[name][id] = o.stood[id]
	}
	for _, e := range events {
		if name, ok := o.layout.Entry(e.Key); ok && e.Live() && !o.layout.Places.Handed && !o.exchanged(name, e, events) {
			o.inTurn(name, e)
		}
	}
}

// exchanged tells whether who gets a place gives another back at the same revision.
func (o *oracle) exchanged(name string, e history.Event, events []history.Event) bool {
	return slices.ContainsFunc(o.live[name], func(l *life) bool {
		return l.id == idOf(e) && slices.ContainsFunc(events, func(other history.Event) bool { return other.Key == l.key && other.Delete })
	})
}

// inTurn checks that who gets a place has overtaken nobody.
func (o *oracle) inTurn(name string, e history.Event) {
	id := idOf(e)
	who, first := o.stood[id], (*waiter)(nil)
	for _, w := range o.lines[o.queue(name)] {
		if w.id != id && (first == nil || w.create < first.create) {
			first = w
		}
	}
	if first != nil && (who == nil || first.create < who.create) {
		o.v.violate("F1", name, e.Seen, "revision %d gave %s to %s, although %s has stood in line since revision %d",
			e.Rev, e.Key, id, first.id, first.create)
	}
}

// placed takes the places that a revision has given. Who has one is an owner.
func (o *oracle) placed(events []history.Event) {
	given := map[string]history.Event{} // by name, one of each
	for _, e := range events {
		name, ok := o.layout.Entry(e.Key)
		switch {
		case !ok || e.Delete:
			continue
		case !o.begins(e):
			o.v.violate("L1", name, e.Seen, "revision %d wrote %s, which was held", e.Rev, e.Key)
			continue
		}
		l := o.byKey[e.Key]
		l.id, l.shared = idOf(e), o.layout.Places.Shared != nil && o.layout.Places.Shared(e.Key)
		l.waiter = o.stood[l.id]
		if before := o.owners[name]; len(before) > 0 && !e.Live() && before[len(before)-1].id == l.id {
			o.v.violate("L1", name, e.Seen, "revision %d wrote %s, whose owner is the same", e.Rev, e.Key)
		}
		l.head, l.headSeen = e.Rev, e.Seen
		o.owners[name] = append(o.owners[name], l)
		given[name] = e
	}
	for name, e := range given {
		o.alone(name, e)
		o.within(name, e)
	}
}

// within checks that what is held when a place is given is no more than the limit allows then (S1).
func (o *oracle) within(name string, e history.Event) {
	if o.layout.Places.Limit == nil {
		return
	}
	queue, held := o.queue(name), 0
	for other, live := range o.live {
		if o.queue(other) == queue {
			held += len(live)
		}
	}
	if limit := o.limits[queue]; held > limit {
		o.v.violate("S1", name, e.Seen, "revision %d gave %s to %s, so that %d are held, and the limit is %d", e.Rev, e.Key, idOf(e), held, limit)
	}
}

// limit takes what a revision says of limits. It begins with a number.
func (o *oracle) limit(events []history.Event) {
	if o.layout.Places.Limit == nil {
		return
	}
	for _, e := range events {
		if name, ok := o.layout.Places.Limit(e.Key); ok {
			number, _, _ := strings.Cut(e.Value, " ")
			o.limits[name], _ = strconv.Atoi(number) // what is none is 0
		}
	}
}

// alone checks that an owner that excludes others is the only one (W1).
func (o *oracle) alone(name string, e history.Event) {
	live := o.live[name]
	if len(live) > 1 && slices.ContainsFunc(live, func(l *life) bool { return !l.shared }) {
		slices.SortFunc(live, func(a, b *life) int { return cmp.Compare(a.token, b.token) })
		o.v.violate("W1", name, e.Seen, "at revision %d %s is held (token %d), and %s (token %d)",
			e.Rev, live[0].key, live[0].token, live[len(live)-1].key, live[len(live)-1].token)
	}
}

// reads checks that a guarded read was made while it was held, and shows what was written last (R1).
func (o *oracle) reads() {
	byName := map[string][]write{}
	for _, w := range o.written {
		byName[w.name] = append(byName[w.name], w)
	}
	for _, op := range o.h.Ops {
		if op.Kind != history.Fetch || op.Result != history.OK {
			continue
		}
		if l := o.lives[holdOf(op)]; l == nil || l.token > op.Rev || l.end != 0 && l.end <= op.Rev {
			o.v.violate("R1", op.Name, op.Return, "token %d read at revision %d, when it did not hold it", op.Token, op.Rev)
		}
		ws := byName[op.Name]
		n, _ := slices.BinarySearchFunc(ws, op.Rev+1, func(w write, rev int64) int { return cmp.Compare(w.event.Rev, rev) })
		want := ""
		if n > 0 {
			want = ws[n-1].event.Value
		}
		if op.Value != want {
			o.v.violate("R1", op.Name, op.Return, "token %d read %q at revision %d, when %q was written last", op.Token, op.Value, op.Rev, want)
		}
	}
}
