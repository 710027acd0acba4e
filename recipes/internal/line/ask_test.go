package line

import (
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// wantSeen wants the place "w" as well, but takes it only when it has looked, and only while there is a key "open" beside it.
type wantSeen struct{}

var errShut = errors.New("shut")

func (wantSeen) Blind(_ Grantee, otherwise clientv3.Op) clientv3.Op { return otherwise }

func (wantSeen) Gate(g Grantee, alone bool, join, look clientv3.Op) clientv3.Op {
	if alone {
		return look
	}
	return clientv3.OpTxn([]clientv3.Cmp{absent(g.Key("open"))}, []clientv3.Op{look}, []clientv3.Op{join})
}

func (wantSeen) Plan(view *View, g Grantee) (Grant, bool, error) {
	if view.Get("open") == nil {
		return Grant{}, false, errShut
	}
	return wantOne{}.Plan(view, g)
}

func (p *party) sees(try bool) (*Entry, error) {
	ctx, cancel := p.bound()
	defer cancel()
	if try {
		return p.line.TryAcquire(ctx, p.lease, Details{}, wantSeen{})
	}
	return p.line.Acquire(ctx, p.lease, Details{}, wantSeen{})
}

// opens writes the key without which nobody may wait.
func (p *party) opens() {
	p.Helper()
	if _, err := p.client.Put(p.Context(), PlaceKey(prefix, "open"), ""); err != nil {
		p.Fatal(err)
	}
}

// TestWhoMayNotWaitLeavesNothing: whether or not somebody stands in line.
func TestWhoMayNotWaitLeavesNothing(t *testing.T) {
	p := newParty(t).placed()
	for _, try := range []bool{false, true} {
		if _, err := p.sees(try); !errors.Is(err, errShut) {
			t.Errorf("try %v: %v, want what Plan says", try, err)
		}
	}
	p.empty()
	first := p.get()
	next := p.waits(1)
	if _, err := p.sees(false); !errors.Is(err, errShut) {
		t.Errorf("while somebody waits: %v, want what Plan says", err)
	}
	p.free(1)
	p.gives(first)
	p.gives(<-next)
	p.empty()
}

// TestOneWhoHasLookedTakesItsPlaceOrStandsInLine: in the order in which they came, and whatever answer is lost.
func TestOneWhoHasLookedTakesItsPlaceOrStandsInLine(t *testing.T) {
	for _, f := range []fault{0, loseAnswer, loseTxn, late} {
		for n := range 5 {
			t.Run(fmt.Sprintf("fault %d, Txn %d", f, n), func(t *testing.T) {
				t.Parallel()
				a, b := newParty(t).placed(), newParty(t).placed()
				b.opens()
				if f != 0 {
					a.faults.then(append(make([]fault, n), f)...)
				}
				first, err := a.sees(false)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.sees(true); !errors.Is(err, ErrHeld) {
					t.Errorf("a try while it is taken = %v, want ErrHeld", err)
				}
				next := b.waits(1)
				second := make(chan *Entry, 1)
				go func() {
					e, err := a.sees(false)
					if err != nil {
						t.Error(err)
					}
					second <- e
				}()
				b.free(2)
				b.gives(first)
				e := <-next
				b.gives(e)
				last := <-second
				if last.granted[0].Rev <= e.granted[0].Rev {
					t.Errorf("it was let in at %d, before %d", last.granted[0].Rev, e.granted[0].Rev)
				}
				a.faults.letThrough()
				if _, err := b.sees(true); !errors.Is(err, ErrHeld) {
					t.Errorf("a late copy took the place away: a try = %v, want ErrHeld", err)
				}
				a.gives(last)
				a.faults.letThrough()
				e, err = b.sees(true)
				if err != nil {
					t.Fatalf("a try when all have left = %v", err)
				}
				b.gives(e)
			})
		}
	}
}

// TestWhatStandsBesideThePlacesIsARecord, by its name.
func TestWhatStandsBesideThePlacesIsARecord(t *testing.T) {
	p := newParty(t).placed()
	p.opens()
	e := p.get()
	n, err := ReadNamed(t.Context(), p.client.KV, prefix, "x")
	if err != nil || len(n.Holders) != 1 || n.Holders[0].Want != "w" || len(n.Records) != 1 {
		t.Errorf("%+v, %v, want one holder, of w, and one record", n, err)
	}
	if _, ok := n.Records["open"]; !ok {
		t.Errorf("the records are %v", n.Records)
	}
	p.gives(e)
}
