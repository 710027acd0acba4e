package check

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// reign is what observers may see from a revision on.
type reign struct {
	rev   int64
	id    string // "": nobody leads
	term  int64
	value string
}

func (r reign) same(other reign) bool {
	return r.id == other.id && r.term == other.term && r.value == other.value
}

// throne is what stands in etcd about a leader.
type throne struct {
	place    *history.Event
	proclaim *history.Event // what stands beside it
	was      []reign        // by revision
}

// reigns notes what a revision changes of what observers may see.
func (o *oracle) reigns(events []history.Event) {
	if o.layout.Places.Proclaimed == nil {
		return
	}
	changed := map[string]bool{}
	for i := range events {
		e := &events[i]
		if e.Delete {
			e = nil
		}
		if name, ok := o.layout.Entry(events[i].Key); ok {
			o.throne(name).place, changed[name] = e, true
		}
		if name, ok := o.layout.Places.Proclaimed(events[i].Key); ok {
			o.throne(name).proclaim, changed[name] = e, true
		}
	}
	for name := range changed {
		t := o.throne(name)
		now := reign{rev: events[0].Rev}
		if t.place != nil {
			var v struct{ Value string }
			_ = json.Unmarshal([]byte(t.place.Value), &v) // then it tells nothing
			now.id, now.term, now.value = idOf(*t.place), t.place.Rev, v.Value
			if t.proclaim != nil {
				now.value = t.proclaim.Value
			}
		}
		t.was = append(t.was, now)
	}
}

func (o *oracle) throne(name string) *throne {
	if o.thrones[name] == nil {
		o.thrones[name] = &throne{was: []reign{{}}}
	}
	return o.thrones[name]
}

// observed checks that each observer saw what was so, in order, and nothing twice (O1).
func (o *oracle) observed() {
	last := map[sessionOf]reign{}
	for _, op := range o.h.Ops {
		if op.Kind != history.Observe || op.Result != history.OK {
			continue
		}
		was := o.throne(op.Name).was
		n, _ := slices.BinarySearchFunc(was, op.Rev+1, func(r reign, rev int64) int { return cmp.Compare(r.rev, rev) })
		saw, truth := reign{op.Rev, op.Key, op.Token, op.Value}, was[max(n, 1)-1]
		if !saw.same(truth) {
			o.v.violate("O1", op.Name, op.Return, "client %d saw %+v, and it was %+v", op.Client, saw, truth)
		}
		observer := sessionOf{op.Who, op.Set}
		if before, seen := last[observer]; seen && (before.rev >= saw.rev || before.same(saw)) {
			o.v.violate("O1", op.Name, op.Return, "client %d saw %+v after %+v", op.Client, saw, before)
		}
		last[observer] = saw
	}
}

// works checks that no term ends before its work has returned, unless it was lost (E2).
func (o *oracle) works() {
	for _, op := range o.h.Ops {
		l := o.lives[holdOf(op)]
		if op.Kind != history.Work || op.Result != history.OK || l == nil || l.end == 0 || o.taken(l) {
			continue
		}
		over := op.Return.Sub(l.endSeen) - o.h.Stalled(op.Who, l.endSeen.Add(-o.h.Setup.TTL), op.Return, longStall)
		if over > time.Duration(0) {
			o.v.violate("E2", op.Name, op.Return, "the work of client %d went on for %v after revision %d had ended its term (%d)", op.Client, over, l.end, op.Token)
		}
	}
}
