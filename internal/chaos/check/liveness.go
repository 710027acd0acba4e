package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

const (
	overrun  = 250 * time.Millisecond // of a call beyond its ctx
	afterTTL = 5 * time.Second        // and a TTL is how long after the faults' end there must be progress
	takeOver = 2 * time.Second        // and a TTL is how long after a holder's death somebody else holds
)

// deadlines checks that no call outlives its ctx (V2), but for what a process can't do while it doesn't run.
func (o *oracle) deadlines() {
	ended := map[history.Who]bool{}
	for _, e := range o.h.Ends {
		ended[e.Who] = true
	}
	for _, op := range o.h.Ops {
		switch {
		case op.Deadline == 0:
		case op.Return != 0:
			o.inTime(op)
		case ended[op.Who]:
			o.v.violate("V2", op.Name, op.Call, "client %d never came back from %s", op.Client, op.Kind)
		}
	}
}

func (o *oracle) inTime(op history.Op) {
	over := op.Return.Sub(max(op.Deadline, op.Call)) - o.h.Stalled(op.Who, op.Call, op.Return, 0)
	allowed, figure := overrun, &o.v.Overrun
	if op.Kind == history.Release || op.Kind == history.Close {
		allowed, figure = o.h.Setup.Cleanup+overrun, &o.v.CleanupOver
	}
	figure.Note(over)
	if over > allowed {
		o.v.violate("V2", op.Name, op.Return, "client %d came back from %s %v after its ctx had ended, %v at most (%s)",
			op.Client, op.Kind, over, allowed, op.Err)
	}
}

// handOvers measures how long a lock whose holder was killed stays out of reach for those who wait, and checks it when nothing else was
// wrong (V3).
func (o *oracle) handOvers() {
	for i, f := range o.h.Faults {
		if f.Kind != KindKill {
			continue
		}
		for _, key := range f.Keys {
			if l := o.byKey[key]; l != nil && l.end != 0 && l.endSeen > f.From {
				o.handOver(i, l)
			}
		}
	}
}

// KindKill is the kind of fault that kills a client and nothing else.
const KindKill = "client killed"

func (o *oracle) handOver(fault int, dead *life) {
	f := o.h.Faults[fault]
	owners := o.owners[dead.name]
	i := slices.Index(owners, dead)
	if i < 0 || i+1 == len(owners) || !o.waited(owners[i+1], dead) {
		return
	}
	took := owners[i+1].headSeen.Sub(f.From)
	o.v.HandOver.Note(took)
	until, alone := f.From.Add(o.h.Setup.TTL+takeOver), true
	for j, g := range o.h.Faults {
		alone = alone && (j == fault || g.From > until || g.To.Add(settling) < f.From)
	}
	if alone && took > o.h.Setup.TTL+takeOver {
		o.v.violate("V3", dead.name, dead.endSeen, "it took %v to pass from token %d, whose holder was killed, to the next", took, dead.token)
	}
}

// waited tells whether next stood in line for what dead alone had until its end.
func (o *oracle) waited(next, dead *life) bool {
	if o.layout.Places == nil {
		return next.created <= dead.endSeen
	}
	if o.layout.Places.Queue != nil {
		return false // it may wait for more than that
	}
	together := slices.ContainsFunc(o.owners[dead.name], func(l *life) bool {
		return l != dead && l.token < dead.end && (l.end == 0 || l.end > dead.end) || l != dead && l.end == dead.end
	})
	return !together && next.waiter != nil && next.waiter.created <= dead.endSeen
}

// progress checks that whoever waits gets on once the faults are over (V1), unless somebody holds all the time.
func (o *oracle) progress() {
	bound := o.h.Setup.TTL + afterTTL
	busy := o.busy()
	o.convoys(busy)
	for _, q := range o.quiet(bound) {
		for _, op := range o.h.Ops {
			from, to := max(op.Call, q.from), min(orEnd(op.Return, o.h.Until), q.to)
			if op.Kind != history.Acquire || to.Sub(from) < bound || o.killed(op) {
				continue
			}
			if idle := longestIdle(busy[o.queue(op.Name)], from, to); idle > bound {
				o.v.violate("V1", op.Name, from, "client %d waited for %v without a fault, and for %v nobody held it", op.Client, to.Sub(from), idle)
			}
		}
	}
}

// busy is when clients held, by name, in order: as far as they knew it.
func (o *oracle) busy() map[string][]window {
	all := map[string][]window{}
	for _, op := range o.h.Ops {
		if acquires(op) && op.Result == history.OK {
			all[o.queue(op.Name)] = append(all[o.queue(op.Name)], window{op.Return, op.Return})
		}
	}
	for _, b := range o.h.Beliefs {
		all[o.queue(b.Name)] = append(all[o.queue(b.Name)], window{b.From, max(b.Err, b.Context)})
	}
	for _, ws := range all {
		slices.SortFunc(ws, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	}
	return all
}

// longestIdle is the longest time between two others that none of busy covers.
func longestIdle(busy []window, from, to history.Time) (longest time.Duration) {
	for _, w := range busy {
		if w.from >= to {
			break
		}
		longest = max(longest, w.from.Sub(from))
		from = max(from, w.to)
	}
	return max(longest, to.Sub(from))
}

// killed tells whether the client died in the call, so that nobody waited.
func (o *oracle) killed(op history.Op) bool {
	return op.Return == 0 && !slices.ContainsFunc(o.h.Ends, func(e history.End) bool { return e.Who == op.Who })
}

func orEnd(t, end history.Time) history.Time {
	if t == 0 {
		return end
	}
	return t
}

type window struct{ from, to history.Time }

// quiet is the times of at least that length without a fault. Faults are in the order of their beginnings.
func (o *oracle) quiet(length time.Duration) (qs []window) {
	if len(o.h.Ops) == 0 {
		return nil
	}
	from := o.h.Ops[0].Call
	for _, f := range o.h.Faults {
		if f.From.Sub(from) >= length {
			qs = append(qs, window{from, f.From})
		}
		from = max(from, f.To)
	}
	if o.h.Until.Sub(from) >= length {
		qs = append(qs, window{from, o.h.Until})
	}
	return qs
}

// leftovers checks that nothing stays when everybody has closed (X1).
func (o *oracle) leftovers() {
	for _, e := range o.h.Ends {
		for _, leak := range e.Leaks {
			o.v.violate("X1", "", e.At, "client %d, life %d: %s", e.Client, e.Life, leak)
		}
	}
	for _, key := range o.h.LeftKeys {
		o.v.violate("X1", "", o.h.Until, "key %s was left", key)
	}
	if n := o.h.LeftLeases; n > 0 {
		o.v.violate("X1", "", o.h.Until, "%d leases were left", n)
	}
}
