package line

import (
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// wantOne is a recipe with one place, "w".
type wantOne struct{}

func (wantOne) Blind(g Grantee, otherwise clientv3.Op) clientv3.Op {
	return clientv3.OpTxn([]clientv3.Cmp{absent(g.Key("w"))}, []clientv3.Op{g.Put("w")}, []clientv3.Op{otherwise})
}

func (wantOne) Plan(view *View, g Grantee) (Grant, bool, error) {
	return Grant{If: []clientv3.Cmp{absent(g.Key("w"))}, Then: []clientv3.Op{g.Put("w")}}, view.Get("w") == nil, nil
}

func (p *party) placed() *party {
	p.line = Placed(p.keeper, prefix)
	return p
}

func (p *party) get() *Entry {
	p.Helper()
	ctx, cancel := p.bound()
	defer cancel()
	e, err := p.line.Acquire(ctx, p.lease, Details{}, wantOne{})
	if err != nil {
		p.Fatalf("Acquire = %v", err)
	}
	return e
}

func (p *party) try() (*Entry, error) {
	ctx, cancel := p.bound()
	defer cancel()
	return p.line.TryAcquire(ctx, p.lease, Details{}, wantOne{})
}

// waits has somebody wait for its place, and returns when it stands in line.
func (p *party) waits(n int) <-chan *Entry {
	got := make(chan *Entry, 1)
	go func() {
		ctx, cancel := p.bound()
		defer cancel()
		e, err := p.line.Acquire(ctx, p.lease, Details{}, wantOne{})
		if err != nil {
			p.Errorf("Acquire = %v", err)
		}
		got <- e
	}()
	p.free(n)
	return got
}

func (p *party) gives(e *Entry) {
	p.Helper()
	if err := e.Release(p.Context()); err != nil {
		p.Fatalf("Release = %v", err)
	}
}

// TestPlacesAndLostAnswers: whatever happens to the n-th Txn of a life with places, or to two in a row, nobody gets stuck, nobody holds
// what somebody else holds, and nothing is left.
func TestPlacesAndLostAnswers(t *testing.T) {
	for _, f := range []fault{loseAnswer, loseTxn, late} {
		for n := range 7 {
			for _, run := range []int{1, 2} {
				t.Run(fmt.Sprintf("fault %d, Txn %d, %d in a row", f, n, run), func(t *testing.T) {
					t.Parallel()
					a, b := newParty(t).placed(), newParty(t).placed()
					faults := make([]fault, n, n+run)
					for range run {
						faults = append(faults, f)
					}
					a.faults.then(faults...)
					first := a.get() // at once
					waits := b.waits(1)
					a.gives(first)
					second := <-waits // after a wait
					third := a.waits(1)
					if _, err := b.try(); !errors.Is(err, ErrHeld) {
						t.Errorf("a try while somebody holds = %v, want ErrHeld", err)
					}
					b.gives(second)
					last := <-third
					if tokens := []int64{first.granted[0].Rev, second.granted[0].Rev, last.granted[0].Rev}; tokens[0] >= tokens[1] || tokens[1] >= tokens[2] {
						t.Errorf("tokens %v do not rise", tokens)
					}
					a.faults.letThrough()
					if _, err := b.try(); !errors.Is(err, ErrHeld) {
						t.Errorf("a late copy took the place away: a try = %v, want ErrHeld", err)
					}
					a.gives(last)
					a.faults.letThrough()
					e, err := b.try()
					if err != nil {
						t.Fatalf("a try when all have left = %v", err)
					}
					b.gives(e)
					a.nothingButVoids()
				})
			}
		}
	}
}

// nothingButVoids waits until nothing is left but ids that were made void.
func (p *party) nothingButVoids() {
	p.Helper()
	p.eventuallyKeys(func(names []string) bool {
		for _, name := range names {
			if name[0] != 'x' {
				return false
			}
		}
		return true
	})
}

// TestAClaimThatNobodyWaitsForIsGivenBack: whoever gave up has nothing, whenever its claim is applied.
func TestAClaimThatNobodyWaitsForIsGivenBack(t *testing.T) {
	for _, f := range []fault{silent, late} {
		t.Run(fmt.Sprint("fault ", f), func(t *testing.T) {
			a, b := newParty(t).placed(), newParty(t).placed()
			first := a.get()
			ctx, cancel := b.bound()
			defer cancel()
			e, err := b.line.Join(ctx, b.lease, Details{})
			if err != nil {
				t.Fatal(err)
			}
			view, err := e.survey(ctx)
			if err != nil {
				t.Fatal(err)
			}
			a.gives(first)
			delete(view.places, "w")
			b.faults.then(f)
			sent := b.faults.passed()
			failed := make(chan error, 1)
			go func() { failed <- e.claim(ctx, wantOne{}, view) }()
			<-sent
			cancel()
			if err := <-failed; err == nil {
				t.Fatal("the claim succeeded without an answer")
			}
			e.Abandon()
			b.faults.letThrough()
			a.empty()
		})
	}
}

// TestNobodyIsAppointedWhoHasLeft: between the look at the line and the Txn.
func TestNobodyIsAppointedWhoHasLeft(t *testing.T) {
	a := newParty(t).placed()
	holder := a.get()
	first, second, third := a.join(), a.join(), a.join()
	l, err := a.line.Lineup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.giveUp(second)
	appoint := func(ifs []clientv3.Cmp, then []clientv3.Op) {
		t.Helper()
		resp, err := a.keeper.Txn(t.Context(), append(ifs, holder.granted[0].Is()), then, nil)
		if err != nil || resp.Succeeded {
			t.Errorf("it was appointed: %v, %v", resp, err)
		}
	}
	appoint(l.Appoint(1, "w"))
	appoint(l.Appoint(2, "w")) // its predecessor is not who it was
	appoint(l.AppointRun(1, []string{"a", "b"}))
	a.gives(holder)
	for _, e := range []*Entry{first, third} {
		a.head(e)
		a.pass(e)
	}
	a.empty()
}

// TestAnAppointedOneHolds: it learns of it from its own entry, also if it gives up at that time.
func TestAnAppointedOneHolds(t *testing.T) {
	for _, at := range []int{0, 1, 2} {
		t.Run(fmt.Sprint("number ", at, " in line"), func(t *testing.T) {
			a := newParty(t).placed()
			holder := a.get()
			var waiters []<-chan *Entry
			for i := range 3 {
				waiters = append(waiters, a.waits(i+1))
			}
			l, err := a.line.Lineup(t.Context())
			if err != nil || len(l.Waiting) != 3 {
				t.Fatalf("Lineup = %+v, %v", l, err)
			}
			ifs, then := l.Appoint(at, "w")
			resp, err := a.keeper.Txn(t.Context(), append(ifs, holder.granted[0].Is()), then, nil)
			if err != nil || !resp.Succeeded {
				t.Fatalf("appoint: %v, %v", resp, err)
			}
			chosen := <-waiters[at]
			if chosen.granted[0] != (keep.Key{Name: PlaceKey(prefix, "w"), Rev: resp.Header.Revision}) {
				t.Errorf("it holds %v", chosen.granted)
			}
			if err := holder.Release(t.Context()); !errors.Is(err, keep.ErrNotThere) {
				t.Errorf("the one who handed over: Release = %v, want ErrNotThere", err)
			}
			a.gives(chosen)
			for i, w := range waiters {
				if i != at {
					a.gives(<-w)
				}
			}
			a.empty()
		})
	}
}
