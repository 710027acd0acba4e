// Package check finds out whether a run kept its promises.
//
// The first judge is the order of etcd's revisions, which is exact and needs no search: whoever wrote as the holder must have been
// the holder at that revision. The second is a model of a fenced mutex and a search for an order that explains all answers
// (porcupine), which knows nothing of revisions. What no order can show, beliefs and deadlines, is checked on the clock.
//
// # The rules
//
//	M1  a guarded write that was accepted lies within its holder's ownership, in the order of revisions; and the store's gate never goes back
//	M2  the tokens of successive holders rise
//	M3  nothing but its own release, the end of its lease, or an operator ends a hold
//	M4  whoever is told that it acquired was at the head, with that token
//	M5  nobody believes that it holds what etcd has given away, so no two do at a time; after an operator's breach it may for a second
//	M6  a loss is for ever
//	W1  of a read-write lock a writer's place is the only one
//	F1  nobody gets a place while somebody who came before stands in line
//	S1  no permit is given at a revision at which more are held, with it, than the limit allows
//	A1  several locks at once are joined at one revision, and left at one
//	E2  no term ends before its work has returned
//	O1  an observer sees a part of what was, in order
//	R1  a guarded read lies within its holder's ownership, and shows what was written last
//	L1  an entry never comes back, and a place is written once while it is held
//	D1  what clients were told of their writes is so
//	D2  revisions rise
//	V1  within a TTL and 5 s after the faults' end whoever waits gets on
//	V2  no call outlives its ctx by more than 250 ms, and the cleanup timeout if it cleans up
//	V3  a dead holder's lock passes on within a TTL and 2 s, if nothing else is wrong
//	X1  nothing is left when all have closed
//	P   some order of the answers is one of a fenced lock
package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// A Violation is a promise that was not kept.
type Violation struct {
	Rule   string       // M1, V2, …
	Recipe string       // that it is about
	Name   string       // of the lock, if it is about one
	At     history.Time // where in the run to look
	Text   string
}

func (v Violation) String() string {
	if v.Name == "" {
		return v.Rule + ": " + v.Text
	}
	return fmt.Sprintf("%s: %s %q: %s", v.Rule, v.Recipe, v.Name, v.Text)
}

// A Figure is the largest of some durations.
type Figure struct {
	Max  time.Duration
	Seen int // how many there were
}

// Note takes one more.
func (f *Figure) Note(d time.Duration) {
	if f.Seen == 0 || d > f.Max {
		f.Max = d
	}
	f.Seen++
}

// Join takes those of g.
func (f *Figure) Join(g Figure) {
	if g.Seen > 0 && (f.Seen == 0 || g.Max > f.Max) {
		f.Max = g.Max
	}
	f.Seen += g.Seen
}

// A Verdict is what was found.
type Verdict struct {
	Violations []Violation
	Ops        map[string]int // of each kind, that were OK
	Unknown    int            // operations without an answer
	Resolved   int            // those of them that the events explain
	Stale      int            // writes that the store's gate refused
	Events     int

	// How long before etcd ended a hold its holder stopped to believe: the shortest such time, as a negative belief after the loss.
	AfterLoss   Figure
	AfterBreach Figure // belief after an operator took the lock away
	Overrun     Figure // of a call beyond its ctx
	CleanupOver Figure // of a call that cleans up beyond its ctx
	HandOver    Figure // from a holder's death until somebody else held

	recipe string
	draws  []drawing
}

// A drawing draws one lock of a recipe.
type drawing struct {
	recipe string
	draw   func(path, name string) error
}

// Draw writes, to the file at path, a page that shows what the clients were told about the lock that a violation is about, and where no
// order explains it. It does nothing for recipes that no model explains.
func (v *Verdict) Draw(path string, x Violation) error {
	for _, d := range v.draws {
		if d.recipe == x.Recipe {
			return d.draw(path, x.Name)
		}
	}
	return nil
}

func (v *Verdict) violate(rule, name string, at history.Time, format string, args ...any) {
	v.Violations = append(v.Violations, Violation{rule, v.recipe, name, at, fmt.Sprintf(format, args...)})
}

// Judge judges a run whose clients used locks of a recipe that stands in line.
func Judge(h *history.History, layout Layout) *Verdict {
	v := &Verdict{Ops: map[string]int{}, Events: len(h.Events), recipe: layout.Recipe}
	for _, op := range h.Ops {
		switch op.Result {
		case history.OK:
			v.Ops[strings.TrimSpace(op.Recipe+" "+op.Kind)]++
		case history.Unknown:
			v.Unknown++
		}
	}
	o := newOracle(h, layout, v)
	o.replay()
	o.answers()
	o.writes()
	o.reads()
	o.beliefs()
	o.releases()
	o.together()
	o.observed()
	o.works()
	o.stored()
	o.deadlines()
	o.handOvers()
	o.progress()
	o.leftovers()
	if layout.Places == nil {
		o.linearizable()
		v.draws = []drawing{{layout.Recipe, o.draw}}
	}
	v.sort()
	return v
}

func (v *Verdict) sort() {
	slices.SortStableFunc(v.Violations, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
}

// Join takes in what was found about other clients of the same run, or in another one.
func (v *Verdict) Join(w *Verdict) {
	if v.Ops == nil {
		v.Ops = map[string]int{}
	}
	for k, n := range w.Ops {
		v.Ops[k] += n
	}
	v.Violations = append(v.Violations, w.Violations...)
	v.Unknown += w.Unknown
	v.Resolved += w.Resolved
	v.Stale += w.Stale
	v.Events += w.Events
	v.AfterLoss.Join(w.AfterLoss)
	v.AfterBreach.Join(w.AfterBreach)
	v.Overrun.Join(w.Overrun)
	v.CleanupOver.Join(w.CleanupOver)
	v.HandOver.Join(w.HandOver)
	v.draws = append(v.draws, w.draws...)
	v.sort()
}
