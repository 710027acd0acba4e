package check

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// lose is what ends a hold without its holder's word: its lease, an operator, or a release whose answer was lost.
const lose = "lose"

// A step is an operation as the model sees it: one of history's kinds that was OK, or lose.
type step struct {
	name  string
	kind  string
	token int64
}

// mutex is the state of one lock.
type mutex struct {
	held  bool
	token int64 // of the holder, or of the last one
}

// fencedMutex is a lock whose tokens rise, and which only its holder can write under.
var fencedMutex = porcupine.Model{
	Partition: byName,
	Init:      func() any { return mutex{} },
	Step: func(state, input, _ any) (bool, any) {
		m, ok := state.(mutex)
		s, ok2 := input.(step)
		if !ok || !ok2 {
			return false, state
		}
		legal, next := m.step(s)
		return legal, next
	},
	Hash: func(state any) uint64 {
		m, _ := state.(mutex)
		if m.held {
			return uint64(m.token)<<1 | 1
		}
		return uint64(m.token) << 1
	},
	DescribeOperation: func(input, _ any) string {
		s, _ := input.(step)
		return fmt.Sprintf("%s(%d)", s.kind, s.token)
	},
	DescribeState: func(state any) string {
		m, _ := state.(mutex)
		if m.held {
			return fmt.Sprintf("held by %d", m.token)
		}
		return fmt.Sprintf("free after %d", m.token)
	},
}

func (m mutex) step(s step) (legal bool, next mutex) {
	mine := m.held && m.token == s.token
	switch s.kind {
	case history.Acquire:
		return !m.held && s.token > m.token, mutex{true, s.token}
	case history.Release:
		return mine, mutex{false, m.token}
	case lose:
		return true, mutex{m.held && !mine, m.token}
	default: // a write, or a look
		return mine, m
	}
}

func byName(ops []porcupine.Operation) [][]porcupine.Operation {
	var names []string
	parts := map[string][]porcupine.Operation{}
	for _, op := range ops {
		s, _ := op.Input.(step)
		if parts[s.name] == nil {
			names = append(names, s.name)
		}
		parts[s.name] = append(parts[s.name], op)
	}
	all := make([][]porcupine.Operation, len(names))
	for i, name := range names {
		all[i] = parts[name]
	}
	return all
}

// searchTime is how long porcupine may search; then the run is not judged, which counts as a failure.
const searchTime = 2 * time.Minute

// linearizable looks for an order of all that clients were told, whatever the revisions say.
func (o *oracle) linearizable() {
	switch porcupine.CheckOperationsTimeout(fencedMutex, o.steps(), searchTime) {
	case porcupine.Ok:
	case porcupine.Illegal:
		at := o.h.Until
		if len(o.v.Violations) > 0 {
			at = o.v.Violations[0].At
		}
		o.v.violate("P", "", at, "no order of what the clients were told is one of a fenced lock")
	case porcupine.Unknown:
		o.v.violate("P", "", o.h.Until, "no verdict within %v", searchTime)
	}
}

// steps are the operations that had an effect. What had no answer is resolved by the events: a write is there, or it is not; a hold that
// ended otherwise than by a release that was answered is lost.
func (o *oracle) steps() []porcupine.Operation {
	var steps []porcupine.Operation
	add := func(op history.Op, kind string, from, to history.Time) {
		steps = append(steps, porcupine.Operation{
			ClientId: op.Client, Input: step{op.Name, kind, op.Token}, Call: int64(from), Return: int64(to),
		})
	}
	seen := map[string]history.Time{}
	for _, w := range o.written {
		seen[w.op] = w.event.Seen
	}
	for _, op := range o.h.Ops {
		switch {
		case acquires(op) && op.Result == history.OK:
			add(op, history.Acquire, op.Call, op.Return)
			if !o.gaveBack(op) {
				add(op, lose, op.Call, o.ended(op))
			}
		case op.Kind == history.Release && o.gaveBack(op), op.Kind == history.Write && op.Result == history.OK,
			op.Kind == history.Check && op.Result == history.OK && !o.excused(op):
			add(op, op.Kind, op.Call, op.Return)
		case op.Kind == history.Write && op.Result == history.Unknown:
			if at, there := seen[number(op)]; there {
				add(op, op.Kind, op.Call, max(at, op.Return))
			}
		}
	}
	return steps
}

// gaveBack tells whether a hold ended by its own release. That of one which somebody else took away may be told so, too, if it was not
// answered at first: then it looks as if the first request had done it.
func (o *oracle) gaveBack(op history.Op) bool {
	id := holdOf(op)
	l := o.lives[id]
	return o.released[id].Result == history.OK && (l == nil || l.end == 0 || !o.taken(l))
}

// ended is when a hold was seen to have ended.
func (o *oracle) ended(op history.Op) history.Time {
	if l := o.lives[holdOf(op)]; l != nil && l.end != 0 {
		return max(l.endSeen, op.Return)
	}
	return o.h.Until
}

// excused is a look at a hold that was taken away: it may be wrong for a second, which M5 checks.
func (o *oracle) excused(op history.Op) bool {
	l := o.lives[holdOf(op)]
	return l != nil && l.end != 0 && o.taken(l)
}
