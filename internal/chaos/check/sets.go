package check

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// sets are the lives of the entries that have one id, of those that have several.
func (o *oracle) sets() (all [][]*life) {
	byID := map[string][]*life{}
	for _, l := range o.lives {
		id := l.id
		if o.layout.Places == nil {
			id = l.key[strings.LastIndexByte(l.key, '/')+1:]
		}
		byID[id] = append(byID[id], l)
	}
	for _, ls := range byID {
		if len(ls) > 1 {
			slices.SortFunc(ls, func(a, b *life) int { return cmp.Compare(a.token, b.token) })
			all = append(all, ls)
		}
	}
	return all
}

// together checks that what is acquired at once is joined at one revision and left at one (A1).
func (o *oracle) together() {
	if !o.layout.Sets {
		return
	}
	for _, ls := range o.sets() {
		first := ls[0]
		for _, l := range ls[1:] {
			if l.token != first.token {
				o.v.violate("A1", l.name, l.created, "revision %d stood in line for what revision %d had stood in line for %q", l.token, first.token, first.name)
			}
			if l.end != first.end && !slices.ContainsFunc(ls, o.taken) {
				o.v.violate("A1", l.name, max(l.endSeen, first.endSeen), "revision %d left it, and revision %d left %q (token %d)", l.end, first.end, first.name, l.token)
			}
		}
	}
	tokens := map[sessionOf]history.Op{}
	for _, op := range o.h.Ops {
		if op.Set == 0 || !acquires(op) || op.Result != history.OK {
			continue
		}
		id := sessionOf{op.Who, op.Set}
		if first, there := tokens[id]; there && first.Token != op.Token {
			o.v.violate("A1", op.Name, op.Return, "client %d has it with token %d, and at once %q with token %d", op.Client, op.Token, first.Name, first.Token)
		} else if !there {
			tokens[id] = op
		}
	}
}

// convoys adds to busy the times in which the owner of a lock waits for another one, which is busy.
func (o *oracle) convoys(busy map[string][]window) {
	if !o.layout.Sets {
		return
	}
	sets := o.sets()
	for range 2 * len(busy) { // who waits for one that waits for one …
		more := map[string][]window{}
		for _, ls := range sets {
			for _, l := range ls {
				for _, other := range ls {
					if l.head != 0 && l != other {
						more[l.name] = append(more[l.name], common(busy[other.name], o.waits(l, other))...)
					}
				}
			}
		}
		if !add(busy, more) {
			return
		}
	}
}

// waits is the time in which l was the owner, and other of the same set was not yet.
func (o *oracle) waits(l, other *life) window {
	w := window{l.headSeen, orEnd(l.endSeen, o.h.Until)}
	if other.head != 0 {
		w.to = min(w.to, other.headSeen)
	}
	return w
}

// common is what of all lies within w.
func common(all []window, w window) (parts []window) {
	for _, b := range all {
		if p := (window{max(b.from, w.from), min(b.to, w.to)}); p.from < p.to {
			parts = append(parts, p)
		}
	}
	return parts
}

// add adds windows, joins those that touch, and tells whether that has changed anything.
func add(busy, more map[string][]window) (changed bool) {
	for name, ws := range more {
		before := merged(busy[name])
		busy[name] = merged(append(before, ws...))
		changed = changed || !slices.Equal(before, busy[name])
	}
	return changed
}

func merged(ws []window) (joined []window) {
	ws = slices.Clone(ws)
	slices.SortFunc(ws, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	for _, w := range ws {
		if n := len(joined); n > 0 && w.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, w.to)
		} else {
			joined = append(joined, w)
		}
	}
	return joined
}
