package line

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

func TestTheHeadIsPassedOnInOrder(t *testing.T) {
	a, b := newParty(t), newParty(t)
	first, second, third := a.join(), b.join(), a.join()
	if !first.head || second.head || third.head {
		t.Fatal("the first to join, and only that one, is at the head")
	}
	two, three := b.waiting(second), a.waiting(third)
	a.pass(first)
	b.heads(two)
	a.stillWaits(three)
	if s := a.state(first); s.State != passed || s.At.IsZero() {
		t.Errorf("the first left %+v, want a passed mark with a time", s)
	}
	b.pass(second)
	a.heads(three)
	if s := a.state(first); s.State != "absent" {
		t.Errorf("the successor passed on and left its predecessor's mark: %+v", s)
	}
	a.pass(third)
	a.empty()
}

func TestPassingTwiceIsPassingOnce(t *testing.T) {
	a := newParty(t)
	first, second := a.join(), a.join()
	a.pass(first)
	if err := first.Pass(t.Context()); !errors.Is(err, keep.ErrNotThere) {
		t.Errorf("second Pass = %v, want ErrNotThere", err)
	}
	a.head(second)
	if s := a.state(second); s.State != "live" {
		t.Errorf("the second Pass of the first ended the second: %+v", s)
	}
	a.pass(second)
	a.empty()
}

func TestGivingUp(t *testing.T) {
	t.Run("last", func(t *testing.T) {
		a := newParty(t)
		first, last := a.join(), a.join()
		a.giveUp(last)
		if s := a.state(last); s.State != "absent" {
			t.Errorf("the last in line left %+v", s)
		}
		next := a.join()
		if next.pred != first.id {
			t.Error("whoever joins next does not stand behind the first")
		}
		a.pass(first)
		a.head(next)
		a.pass(next)
		a.empty()
	})
	t.Run("in the middle", func(t *testing.T) {
		a := newParty(t)
		first, middle, last := a.join(), a.join(), a.join()
		waits := a.waiting(last)
		a.giveUp(middle)
		a.stillWaits(waits)
		a.pass(first)
		a.heads(waits)
		a.pass(last)
		a.empty() // also the mark of the one in the middle, which the last one moved past
	})
	t.Run("predecessor unknown", func(t *testing.T) {
		a := newParty(t)
		first, lost := a.join(), a.join()
		lost.pred = "" // its answer was lost
		next := a.join()
		a.giveUp(lost)
		if s := a.state(lost); s.State != gone || s.Behind != "" {
			t.Errorf("left %+v, want a gone mark that points nowhere", s)
		}
		waits := a.waitNow(next)
		a.pass(first)
		a.heads(waits)
		a.pass(next)
		a.empty()
	})
	t.Run("the whole line", func(t *testing.T) {
		a := newParty(t)
		first := a.join()
		var crowd []*Entry
		for range 200 { // more marks than one Txn may delete
			crowd = append(crowd, a.join())
		}
		last := a.join()
		waits := a.waiting(last)
		for _, e := range crowd {
			a.giveUp(e)
		}
		a.pass(first)
		a.heads(waits)
		a.pass(last)
		a.empty()
	})
	t.Run("whoever moved past marks gives up as well", func(t *testing.T) {
		a := newParty(t)
		first, middle, last := a.join(), a.join(), a.join()
		a.giveUp(middle)
		ctx, cancel := a.bound()
		if inFront, err := last.settle(ctx); err != nil || inFront == nil {
			t.Fatalf("settle = %v, %v, want the first in front", inFront, err)
		}
		cancel()
		last.bury()
		a.giveUp(last)
		a.pass(first)
		a.empty()
	})
}

func TestCrashes(t *testing.T) {
	t.Run("of the holder", func(t *testing.T) {
		a, b := newParty(t), newParty(t)
		a.join()
		e := b.join()
		waits := b.waiting(e)
		a.crash()
		b.heads(waits)
		b.pass(e)
		b.empty()
	})
	t.Run("of a waiter", func(t *testing.T) {
		a, b := newParty(t), newParty(t)
		first := b.join()
		a.join()
		e := b.join()
		waits := b.waiting(e)
		a.crash()
		b.stillWaits(waits)
		b.pass(first)
		b.heads(waits)
		b.pass(e)
		b.empty()
	})
	t.Run("after its mark", func(t *testing.T) {
		a, b := newParty(t), newParty(t)
		first, e := a.join(), b.join()
		a.pass(first)
		a.crash() // the mark goes with the lease
		b.head(e)
		b.pass(e)
		b.empty()
	})
	t.Run("of whom a gone mark points to", func(t *testing.T) {
		a, b := newParty(t), newParty(t)
		a.join()
		middle, e := b.join(), b.join()
		b.giveUp(middle) // behind the one that crashes
		a.crash()
		requests := recipestest.Count(b.client)
		b.head(e)
		if n := requests.Total(); n > 15 {
			t.Errorf("it took %d requests to find out", n)
		}
		b.pass(e)
		b.empty()
	})
	t.Run("of a whole chain", func(t *testing.T) {
		a, b := newParty(t), newParty(t)
		for range 2*steps + 3 { // further back than history is asked
			a.join()
		}
		e := b.join()
		waits := b.waiting(e)
		a.crash()
		b.heads(waits)
		b.pass(e)
		b.empty()
	})
	t.Run("with history compacted away", func(t *testing.T) {
		a, b := newParty(t), newParty(t)
		first := b.join()
		a.join()
		e := b.join()
		waits := b.waiting(e)
		resp, err := b.client.Get(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.client.Compact(t.Context(), resp.Header.Revision); err != nil {
			t.Fatal(err)
		}
		a.crash()
		b.stillWaits(waits)
		b.pass(first)
		b.heads(waits)
		b.pass(e)
		b.empty()
	})
	t.Run("of everybody, and somebody joins later", func(t *testing.T) {
		a, b := newParty(t), newParty(t)
		a.join()
		a.join()
		a.crash()
		e := b.join()
		if e.head {
			t.Fatal("the tail of the dead was not there")
		}
		b.head(e)
		b.pass(e)
		b.empty()
	})
}

func TestTheSweepRemovesADeadTail(t *testing.T) {
	a, b := newParty(t), newParty(t)
	a.join()
	if s, err := Read(t.Context(), b.client.KV, prefix); err != nil || len(s) != 1 {
		t.Fatalf("Read = %v, %v, want one", s, err)
	}
	a.crash()
	if s, err := Read(t.Context(), b.client.KV, prefix); err != nil || len(s) != 0 {
		t.Fatalf("Read = %v, %v, want none", s, err)
	}
	if keys := b.keys(); len(keys) != 0 {
		t.Errorf("left behind: %q", keys)
	}
	// A tail that has moved on since, or that somebody alive stands behind, stays.
	b.join()
	tail, _ := b.keeper.GetOne(t.Context(), b.line.tail())
	_ = Sweep(t.Context(), b.client.KV, DeadTail{prefix, tail.ModRevision})
	if after, _ := b.keeper.GetOne(t.Context(), b.line.tail()); after == nil {
		t.Error("the sweep removed the tail of somebody alive")
	}
}

func TestWhoIsRemovedNeverGetsToTheHead(t *testing.T) {
	for name, remove := range map[string]clientv3.Op{
		"by a mark":   clientv3.OpPut("", encode(mark{State: removed})),
		"by deletion": clientv3.OpDelete(""),
	} {
		removeEntry := func(p *party, e *Entry) {
			op := remove
			op.WithKeyBytes([]byte(e.key()))
			if _, err := p.client.Do(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
		out := func(waits <-chan error) {
			if err := <-waits; !errors.Is(err, ErrRemoved) {
				t.Errorf("Wait = %v, want ErrRemoved", err)
			}
		}
		t.Run(name+", while it waits", func(t *testing.T) {
			a, b := newParty(t), newParty(t)
			first, e, behind := a.join(), b.join(), a.join()
			waits, next := b.waiting(e), a.waiting(behind)
			removeEntry(a, e)
			out(waits)
			a.stillWaits(next)
			a.pass(first)
			a.heads(next)
			a.pass(behind)
			a.empty() // the mark as well, though it is on no lease
		})
		t.Run(name+", before it looks", func(t *testing.T) {
			a, b := newParty(t), newParty(t)
			first, e := a.join(), b.join()
			removeEntry(a, e)
			out(b.waitNow(e))
			a.pass(first)
		})
		t.Run(name+", while it searches", func(t *testing.T) {
			a, b := newParty(t), newParty(t)
			first, e := a.join(), b.join()
			e.pred = "" // the answer to its join was lost
			a.pass(first)
			removeEntry(a, e)
			out(b.waitNow(e))
		})
	}
}

func TestTryJoin(t *testing.T) {
	try := func(p *party) (*Entry, error) {
		ctx, cancel := p.bound()
		defer cancel()
		return p.line.TryJoin(ctx, p.lease, Details{Host: "me"})
	}
	a, b := newParty(t), newParty(t)
	e, err := try(a)
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := try(b); !errors.As(err, &held) || held.Last.Host != "me" {
		t.Errorf("TryJoin = %v, want held by me", err)
	}
	// The line is free, but its tail names one that is gone and left a mark.
	ghost := a.join()
	ghost.pred = ""
	a.giveUp(ghost)
	if _, err := try(b); !errors.Is(err, ErrHeld) {
		t.Errorf("TryJoin = %v, want ErrHeld: the first is still there", err)
	}
	a.pass(e)
	free, err := try(b)
	if err != nil {
		t.Fatalf("TryJoin of a free line whose tail names a mark = %v", err)
	}
	b.pass(free)
	b.empty()
}

func TestTheWaiterSurvivesCompactionOfWhatItWatches(t *testing.T) {
	a := newParty(t)
	first, e := a.join(), a.join()
	waits := a.waiting(e)
	for range 3 {
		resp, err := a.client.Put(t.Context(), "other", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.client.Compact(t.Context(), resp.Header.Revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			t.Fatal(err)
		}
	}
	a.pass(first)
	a.heads(waits)
	a.pass(e)
	a.empty()
}
