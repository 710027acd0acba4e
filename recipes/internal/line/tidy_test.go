package line

import "testing"

// TestWhoeverLeavesTogetherLeavesNothing: each of two that leave at the same time counts on the other to stay.
func TestWhoeverLeavesTogetherLeavesNothing(t *testing.T) {
	t.Run("the holder passes on to one that gives up", func(t *testing.T) {
		a := newParty(t)
		first, last := a.join(), a.join()
		a.pass(first)
		a.giveUp(last)
		a.empty()
	})
	t.Run("two waiters give up, the one in front first", func(t *testing.T) {
		a := newParty(t)
		first, middle, last := a.join(), a.join(), a.join()
		a.giveUp(middle)
		a.giveUp(last)
		if tail := a.tailNames(); tail != first.id {
			t.Errorf("tail names %q, want the holder %q", tail, first.id)
		}
		a.pass(first)
		a.empty()
	})
	t.Run("two waiters give up after the holder has passed on", func(t *testing.T) {
		a := newParty(t)
		first, middle, last := a.join(), a.join(), a.join()
		a.pass(first)
		a.giveUp(middle)
		a.giveUp(last)
		a.empty()
	})
	t.Run("one that does not know who is in front", func(t *testing.T) {
		a := newParty(t)
		first, last := a.join(), a.join()
		last.pred = "" // its answer was lost
		a.giveUp(last)
		if tail := a.tailNames(); tail != first.id {
			t.Errorf("tail names %q, want the holder %q", tail, first.id)
		}
		a.pass(first)
		a.empty()
	})
	t.Run("one whose request to leave had no answer", func(t *testing.T) {
		a := newParty(t)
		first, last := a.join(), a.join()
		a.pass(first)
		a.faults.then(loseAnswer)
		a.giveUp(last)
		a.empty()
	})
	t.Run("one that an operator has removed", func(t *testing.T) {
		a := newParty(t)
		first, last := a.join(), a.join()
		a.pass(first)
		if _, err := a.client.Put(t.Context(), last.key(), encode(mark{State: removed})); err != nil {
			t.Fatal(err)
		}
		_ = last.GiveUp(t.Context()) // it was not there any more
		a.empty()
	})
}

// TestTidyingUpLeavesTheLiving: somebody joins between the look and the Txn.
func TestTidyingUpLeavesTheLiving(t *testing.T) {
	a := newParty(t)
	first, last := a.join(), a.join()
	a.pass(first)
	tail, err := a.keeper.GetOne(t.Context(), a.line.tail())
	if err != nil {
		t.Fatal(err)
	}
	next := a.join()
	if err := a.line.putBack(t.Context(), tail, nil); err == nil {
		t.Error("tail was removed although somebody has joined since it was read")
	}
	a.giveUp(last)
	a.head(next)
	a.pass(next)
	a.empty()
}

func (p *party) tailNames() string {
	p.Helper()
	kv, err := p.keeper.GetOne(p.Context(), p.line.tail())
	if err != nil || kv == nil {
		p.Fatalf("tail = %v, %v", kv, err)
	}
	return string(kv.Value)
}
