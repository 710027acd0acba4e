package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// longStall is what a margin has no room for. A busy machine has shorter ones all the time.
const longStall = 50 * time.Millisecond

// afterBreach is how long a holder may go on to believe when an operator has taken the lock away.
const afterBreach = time.Second

// beliefs checks that nobody believes that it holds what etcd has given away (M5), and that no two believe so at one time.
//
// A belief that was read from the clock (Err) is checked whatever happened. A context can't end in a process that doesn't run, so it has
// as long as that didn't.
func (o *oracle) beliefs() {
	byName := map[string][]history.Belief{}
	for _, b := range o.h.Beliefs {
		byName[b.Name] = append(byName[b.Name], b)
		o.belief(b)
	}
	for name, bs := range byName {
		o.apart(name, bs)
	}
}

func (o *oracle) belief(b history.Belief) {
	if b.Revived != 0 {
		o.v.violate("M6", b.Name, b.Revived, "client %d believed in token %d again, after it had been told that the hold was lost", b.Client, b.Token)
	}
	l := o.lives[holdID{b.Name, b.Key, b.Token}]
	if l == nil || l.end == 0 {
		return // M4 tells of the first
	}
	allowed := o.allowed(b.Who, l)
	late := b.Err.Sub(l.endSeen)
	if allowed > 0 {
		o.v.AfterBreach.Note(late)
	} else if r, called := o.released[holdID{b.Name, b.Key, b.Token}]; !called || r.Call > l.endSeen {
		o.v.AfterLoss.Note(late)
	}
	if late > allowed {
		o.v.violate("M5", b.Name, l.endSeen, "client %d believed for %v after revision %d had ended its hold (token %d), %v at most: %s",
			b.Client, late, l.end, b.Token, allowed, b.Cause)
		return
	}
	if late = b.Context.Sub(l.endSeen) - o.h.Stalled(b.Who, l.endSeen.Add(-o.h.Setup.TTL), b.Context, longStall); late > allowed {
		o.v.violate("M5", b.Name, l.endSeen, "the context of client %d lasted for %v after revision %d had ended its hold (token %d), %v at most: %s",
			b.Client, late, l.end, b.Token, allowed, b.Cause)
	}
}

// allowed is how long a belief may outlast its hold in etcd: not at all, unless somebody else ended the hold.
func (o *oracle) allowed(who history.Who, l *life) time.Duration {
	i, ok := o.breach(l)
	if !ok {
		return 0
	}
	f, until := o.h.Faults[i], l.endSeen.Add(afterBreach)
	if o.troubled(who.Client, i, max(f.From, l.endSeen.Add(-afterBreach)), until) {
		return o.h.Setup.TTL // etcd can't tell it: then its clock does
	}
	return afterBreach + o.h.Stalled(who, f.From, until.Add(afterBreach), longStall)
}

// breach finds what may have ended l besides its holder and the end of its lease: an operator, or a member that has stood still as the
// leader. When that one goes on it has all leases revoked that ran out by its own clock, and etcd does it, although its successor has
// renewed them: etcd looks whether it still leads, but not if its clock has just ticked (v3.7.3, EtcdServer.ensureLeadership).
func (o *oracle) breach(l *life) (fault int, ok bool) {
	fault = slices.IndexFunc(o.h.Faults, func(f history.Fault) bool {
		if f.From > l.endSeen {
			return false
		}
		return f.Breach && (took(f, l) || f.Lease != 0 && f.Lease == l.lease) ||
			f.Stale && l.deleted && l.endSeen < f.To.Add(settling)
	})
	return fault, fault >= 0
}

// took tells whether an operator's fault may have ended l. Keys are used again, so what it is known to have done counts.
func took(f history.Fault, l *life) bool {
	if f.Rev != 0 {
		return f.Rev == l.end && slices.Contains(f.Keys, l.key)
	}
	return l.endSeen < f.To.Add(unanswered) && slices.Contains(f.Keys, l.key)
}

// unanswered is how long what had no answer may be done later.
const unanswered = 10 * time.Second

// settling is how long a fault may be felt when it is over: connections have to be made again.
const settling = 3 * time.Second

// troubled tells whether the client could not be reached between two times, but for one fault.
func (o *oracle) troubled(client, but int, from, to history.Time) bool {
	for i, f := range o.h.Faults {
		if i != but && !f.Breach && f.Hits(client) && f.From < to && f.To.Add(settling) > from {
			return true
		}
	}
	return false
}

// apart checks that one stops to believe before another begins whom it excludes.
func (o *oracle) apart(name string, bs []history.Belief) {
	slices.SortFunc(bs, func(a, b history.Belief) int { return cmp.Compare(a.From, b.From) })
	var last [2]history.Belief // of those before, the one that lasted longest; and of those that exclude all others
	for _, b := range bs {
		before := last[0]
		if b.Shared {
			before = last[1]
		}
		if b.From < before.Err && !o.breached(before) && !o.breached(b) {
			o.v.violate("M5", name, b.From, "client %d (token %d) began to believe %v before client %d (token %d) had stopped",
				b.Client, b.Token, before.Err.Sub(b.From), before.Client, before.Token)
		}
		if b.Err > last[0].Err {
			last[0] = b
		}
		if !b.Shared && b.Err > last[1].Err {
			last[1] = b
		}
	}
}

func (o *oracle) breached(b history.Belief) bool {
	l := o.lives[holdID{b.Name, b.Key, b.Token}]
	return l != nil && l.end != 0 && o.allowed(b.Who, l) > 0
}

// releases checks that nothing but its holder's own release, its lease's end or an operator ends a hold (M3).
func (o *oracle) releases() {
	for _, op := range o.h.Ops {
		if !acquires(op) || op.Result != history.OK {
			continue
		}
		id := holdOf(op)
		l := o.lives[id]
		if l == nil || l.end == 0 {
			continue
		}
		if r, called := o.released[id]; !l.deleted && !o.taken(l) && (!called || r.Call > l.endSeen) {
			o.v.violate("M3", op.Name, l.endSeen, "revision %d ended the hold of client %d (token %d), which had not released it", l.end, op.Client, op.Token)
		}
	}
	for id, r := range o.released {
		l := o.lives[id]
		if r.Result == history.OK && l != nil && l.end == 0 {
			o.v.violate("M3", id.name, r.Return, "client %d was told that it released token %d, and its entry stayed", r.Client, id.token)
		}
	}
}

// taken tells whether somebody else may have ended l.
func (o *oracle) taken(l *life) bool {
	_, ok := o.breach(l)
	return ok
}
