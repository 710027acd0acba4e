package line

import (
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// appointed joins behind nobody who is alive, and is appointed before it has looked.
func (p *party) appointed() *Entry {
	p.Helper()
	e := p.join()
	l, err := p.line.Lineup(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	ifs, then := l.Appoint(len(l.Waiting)-1, "w")
	if resp, err := p.keeper.Txn(p.Context(), ifs, then, nil); err != nil || !resp.Succeeded {
		p.Fatalf("appoint: %v, %v", resp, err)
	}
	return e
}

// TestATryThatIsAppointedHolds: it had to stand in line, since tail named one who is gone, and somebody let it in meanwhile.
func TestATryThatIsAppointedHolds(t *testing.T) {
	a := newParty(t).placed()
	if _, err := a.client.Put(t.Context(), a.line.tail(), "crashed"); err != nil {
		t.Fatal(err)
	}
	e := a.appointed()
	ctx, cancel := a.bound()
	defer cancel()
	got, err := e.headOrGiveUp(ctx)
	if err != nil || len(got.granted) != 1 {
		t.Fatalf("headOrGiveUp = %v, %v, want the place", got, err)
	}
	a.gives(got)
	a.empty()
}

// TestTheHeadLooksAgainWithWatchesOpen: there is no time in which it would not hear of a place that gets free.
func TestTheHeadLooksAgainWithWatchesOpen(t *testing.T) {
	a := newParty(t).placed()
	holder, e := a.get(), a.join()
	ctx, cancel := a.bound()
	defer cancel()
	w, err := a.keeper.Watch(ctx, prefix+places, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := e.watchOwn(ctx); err != nil {
		t.Fatal(err)
	}
	defer e.closeOwn()
	view, err := e.survey(ctx)
	if err != nil || view.Get("w") == nil {
		t.Fatalf("survey = %v, %v", view, err)
	}
	w.C = nil // a watch that misses everything
	a.gives(holder)
	again := a.keeper.Reread(e.key())
	defer again.Stop()
	again.C <- []*mvccpb.KeyValue{nil}
	if err := e.news(ctx, view, w, again); err != nil || view.Get("w") != nil {
		t.Errorf("it looked again: %v, and has the place taken: %v", err, view.Get("w"))
	}
	e.head = true
	a.giveUp(e)
	a.empty()
}

// TestThoseLetInFitIntoOneRequest: whatever they tell about themselves.
func TestThoseLetInFitIntoOneRequest(t *testing.T) {
	l := &Lineup{prefix: prefix}
	labels := map[string]string{"l": strings.Repeat("\x01", keep.MaxLabels-1)} // six bytes each in JSON
	for i := range runLength + 1 {
		l.Waiting = append(l.Waiting, Standing{ID: string(rune('A' + i)), Rev: int64(i + 10), Details: Details{Labels: labels, Want: string(rune('A' + i))}})
	}
	run := l.run(&Entry{id: "A"}, &View{}, func(d Details) (string, bool) { return d.Want, true })
	_, then := l.AppointRun(1, run)
	size := 0
	for _, op := range then {
		size += len(op.KeyBytes()) + len(op.ValueBytes())
	}
	if size > 1<<20 || len(run) == 0 {
		t.Errorf("%d are let in by a request of %d bytes", len(run), size)
	}
}

// wantShared has a place of its own, and lets those behind it in.
type wantShared struct{ place string }

func (w wantShared) Blind(g Grantee, otherwise clientv3.Op) clientv3.Op {
	return clientv3.OpTxn([]clientv3.Cmp{absent(g.Key(w.place))}, []clientv3.Op{g.Put(w.place)}, []clientv3.Op{otherwise})
}

func (w wantShared) Plan(view *View, g Grantee) (Grant, bool, error) {
	with := func(d Details) (string, bool) { return d.Want, d.Want != "" }
	return Grant{If: []clientv3.Cmp{absent(g.Key(w.place))}, Then: []clientv3.Op{g.Put(w.place)}, With: with}, true, nil
}

// TestMarksBetweenThoseLetInAreBuried: who is let in does not move past the mark in front of it.
func TestMarksBetweenThoseLetInAreBuried(t *testing.T) {
	a := newParty(t).placed()
	ctx, cancel := a.bound()
	defer cancel()
	joins := func(want string) *Entry {
		e, err := a.line.Join(ctx, a.lease, Details{Want: want})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	head, between, last := joins("a"), joins("b"), joins("c")
	a.giveUp(between)
	view, err := head.survey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := head.claim(ctx, wantShared{"a"}, view); err != nil {
		t.Fatal(err)
	}
	a.head(last)
	if len(last.granted) != 1 {
		t.Fatal("it was not let in")
	}
	a.gives(head)
	a.gives(last)
	a.empty()
}
