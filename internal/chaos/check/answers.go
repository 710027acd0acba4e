package check

import (
	"cmp"
	"slices"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// answers compares what clients were told about their acquisitions with what etcd did (M4), and the order of tokens with that of
// time (M2).
func (o *oracle) answers() {
	got := map[string][]history.Op{} // by name, in the order of the calls
	for _, op := range o.h.Ops {
		if !acquires(op) || op.Result != history.OK {
			continue
		}
		got[op.Name] = append(got[op.Name], op)
		l := o.lives[holdOf(op)]
		switch {
		case l == nil || l.key != op.Key:
			o.v.violate("M4", op.Name, op.Return, "client %d acquired it with token %d and key %s, which no entry ever had", op.Client, op.Token, op.Key)
		case l.head == 0 && !o.tooLate(op, l):
			o.v.violate("M4", op.Name, op.Return, "client %d acquired it with token %d, which was never at the head", op.Client, op.Token)
		case l.end != 0 && l.endSeen < op.Call:
			o.v.violate("M4", op.Name, op.Return, "client %d acquired it with token %d, which had ended before the call", op.Client, op.Token)
		}
	}
	for name, ops := range got {
		o.rising(name, ops)
	}
}

// tooLate tells whether an operator took the entry out just before the client got to the head, so that it may not have heard of it yet.
func (o *oracle) tooLate(op history.Op, l *life) bool {
	return l.end != 0 && op.Return.Sub(l.endSeen) <= o.allowed(op.Who, l)
}

func acquires(op history.Op) bool {
	return op.Kind == history.Acquire || op.Kind == history.Try || op.Kind == history.Exchange
}

// rising checks that whoever acquired after somebody else had acquired has the larger token.
func (o *oracle) rising(name string, byCall []history.Op) {
	byReturn := slices.Clone(byCall)
	slices.SortFunc(byReturn, func(a, b history.Op) int { return cmp.Compare(a.Return, b.Return) })
	var largest history.Op
	for _, op := range byCall {
		for len(byReturn) > 0 && byReturn[0].Return < op.Call {
			if byReturn[0].Token > largest.Token {
				largest = byReturn[0]
			}
			byReturn = byReturn[1:]
		}
		if op.Token <= largest.Token {
			o.v.violate("M2", name, op.Return, "client %d acquired it with token %d after client %d had got %d",
				op.Client, op.Token, largest.Client, largest.Token)
		}
	}
}

// writes checks that every guarded write was its holder's (M1), and that what clients were told of their writes is so (D1).
func (o *oracle) writes() {
	byOp := map[string]write{}
	for _, w := range o.written {
		if _, twice := byOp[w.op]; twice {
			o.v.violate("D1", w.name, w.event.Seen, "revision %d wrote %q once more", w.event.Rev, w.event.Value)
		}
		byOp[w.op] = w
		switch {
		case w.owner == nil:
			o.v.violate("M1", w.name, w.event.Seen, "token %d wrote at revision %d, when nobody held it", w.token, w.event.Rev)
		case w.owner.token != w.token:
			o.v.violate("M1", w.name, w.event.Seen, "token %d wrote at revision %d, when token %d held it", w.token, w.event.Rev, w.owner.token)
		}
	}
	for i, op := range o.h.Ops {
		if op.Kind == history.Write {
			o.wrote(&o.h.Ops[i], byOp)
		}
	}
}

func (o *oracle) wrote(op *history.Op, byOp map[string]write) {
	w, there := byOp[number(*op)]
	switch {
	case op.Result == history.OK && !there:
		o.v.violate("D1", op.Name, op.Return, "client %d was told that it wrote at revision %d, and etcd has no such event", op.Client, op.Rev)
	case op.Result == history.OK && w.event.Rev != op.Rev:
		o.v.violate("D1", op.Name, op.Return, "client %d was told that it wrote at revision %d, and that was %d", op.Client, op.Rev, w.event.Rev)
	case op.Result == history.Fail && there:
		o.v.violate("D1", op.Name, op.Return, "client %d was told that it did not write, and that was revision %d: %s", op.Client, w.event.Rev, op.Err)
	case op.Result == history.Unknown:
		o.v.Resolved++
	}
}

// stored checks the store's gate: the tokens of the writes that it has admitted never fall, and none that reads is older than they.
func (o *oracle) stored() {
	written := map[string]int64{}
	for _, s := range o.h.Stored { // in the order in which the store saw them
		switch {
		case !s.Admitted:
			o.v.Stale++
		case s.Token < written[s.Resource]:
			o.v.violate("M1", s.Resource, s.At, "the store admitted token %d after %d", s.Token, written[s.Resource])
		case !s.Shared:
			written[s.Resource] = s.Token
		}
	}
}
