package line

import (
	"errors"
	"testing"
)

// lineup is everybody in line as of now.
func (p *party) lineup() *Lineup {
	p.Helper()
	l, err := p.line.Lineup(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	return l
}

// has fails unless e has the place, and no mark is left when it gives it back.
func (p *party) has(e *Entry) {
	p.Helper()
	p.head(e)
	if e.granted == nil { // it was at the head already, where it looks
		if _, err := e.survey(p.Context()); !errors.Is(err, errGranted) {
			p.Fatalf("survey = %v, want that it was granted", err)
		}
	}
	if len(e.granted) != 1 || e.granted[0].Name != PlaceKey(prefix, "w") {
		p.Fatalf("it has %v, want the place", e.granted)
	}
	kv, err := p.keeper.GetOne(p.Context(), PlaceKey(prefix, "w"))
	if err != nil || kv == nil || kv.ModRevision != e.granted[0].Rev || readPlace(kv).ID != e.id {
		p.Errorf("in the place stands %v, %v, and its token is %d", kv, err, e.granted[0].Rev)
	}
}

func (p *party) handsOver(e *Entry, choose func(State) int) {
	p.Helper()
	ctx, cancel := p.bound()
	defer cancel()
	if err := e.HandOver(ctx, choose); err != nil {
		p.Fatalf("HandOver = %v", err)
	}
}

func the(i int) func(State) int { return func(State) int { return i } }

// TestHandOverToAnybody: first, in the middle and last; in front of it and behind it everybody gets the head in turn, and nothing is left.
func TestHandOverToAnybody(t *testing.T) {
	for i := range 3 {
		a := newParty(t).placed()
		holder := a.get()
		all := []*Entry{a.join(), a.join(), a.join()}
		a.handsOver(holder, the(i))
		a.has(all[i])
		for j, e := range all {
			if j != i {
				a.head(e)
				if e.granted != nil {
					t.Errorf("handed over to %d: %d has a place as well", i, j)
				}
				a.pass(e)
			}
		}
		a.gives(all[i])
		a.empty()
	}
}

// TestMarksInFrontOfTheSuccessorAreBuried: it does not move past them.
func TestMarksInFrontOfTheSuccessorAreBuried(t *testing.T) {
	a := newParty(t).placed()
	holder := a.get()
	first, gone, last := a.join(), a.join(), a.join()
	a.giveUp(gone)
	a.handsOver(holder, the(1))
	a.has(last)
	a.head(first)
	a.pass(first)
	a.gives(last)
	a.empty()
}

// TestASuccessorThatHasLeft: the holder has the place still, and then gives it to another, or back.
func TestASuccessorThatHasLeft(t *testing.T) {
	a := newParty(t).placed()
	holder := a.get()
	first, left := a.join(), a.join()
	l := a.lineup()
	a.giveUp(left)
	ctx, cancel := a.bound()
	defer cancel()
	if given, err := holder.HandTo(ctx, l, 1); given || err != nil {
		t.Fatalf("HandTo one that has left = %v, %v, want false", given, err)
	}
	looks := 0
	a.handsOver(holder, func(waiting State) int {
		if looks++; looks == 1 {
			a.head(first)
			a.pass(first) // at the very moment
			return 0
		}
		return len(waiting) - 1
	})
	if looks != 2 {
		t.Errorf("it looked %d times, want again", looks)
	}
	a.empty()
}

// TestTailIsNotPutBackToOneThatHasLeft: whoever stood before the successor has left, so that it stands elsewhere.
func TestTailIsNotPutBackToOneThatHasLeft(t *testing.T) {
	a := newParty(t).placed()
	holder := a.get()
	before, successor := a.join(), a.join()
	l := a.lineup()
	a.pass(before)
	ctx, cancel := a.bound()
	defer cancel()
	if given, err := holder.HandTo(ctx, l, 1); given || err != nil {
		t.Fatalf("HandTo = %v, %v, want false: the line has changed", given, err)
	}
	a.handsOver(holder, the(0))
	a.has(successor)
	a.gives(successor)
	a.empty()
}

// TestTheHeadAppointsWhomItIsTold and stays where it is.
func TestTheHeadAppointsWhomItIsTold(t *testing.T) {
	a := newParty(t).placed()
	head, other := a.join(), a.join()
	ctx, cancel := a.bound()
	defer cancel()
	view, err := head.survey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := head.claim(ctx, wantLast{}, view); err == nil || head.granted != nil {
		t.Fatalf("claim = %v, and it has %v, want that somebody else has it", err, head.granted)
	}
	a.has(other)
	if st := a.state(head); st.State != "live" {
		t.Errorf("the head is %+v, want that it stays in line", st)
	}
	a.gives(other)
	if view, err = head.survey(ctx); err != nil {
		t.Fatal(err)
	}
	if err := head.claim(ctx, wantLast{}, view); err != nil || len(head.granted) != 1 {
		t.Fatalf("claim = %v, and it has %v, want the place: nobody else is there", err, head.granted)
	}
	a.gives(head)
	a.empty()
}

// wantLast wants that the last in line has the place.
type wantLast struct{ wantOne }

func (wantLast) Plan(view *View, g Grantee) (Grant, bool, error) {
	grant, free, err := wantOne{}.Plan(view, g)
	grant.To, grant.Place = func(waiting State) int { return len(waiting) - 1 }, "w"
	return grant, free, err
}
