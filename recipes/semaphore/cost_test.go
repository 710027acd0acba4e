package semaphore_test

import (
	"context"
	"errors"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// counted is a session whose lease is open and whose requests are counted from here on.
func counted(t *testing.T, prefix string, opts ...session.Option) (*session.Session, *recipestest.Requests) {
	t.Helper()
	c := recipestest.Namespace(t, prefix)
	s := open(t, c, append(opts, session.TTL(long))...)
	return s, recipestest.Count(c)
}

// costs compares how many requests there were since the last time.
func costs(t *testing.T, what string, r *recipestest.Requests, txns, gets, watches int64) {
	t.Helper()
	if r.Txns.Load() != txns || r.Gets.Load() != gets || r.Watches.Load() != watches || r.Total() != txns+gets+watches {
		t.Errorf("%s: %d Txns, %d Gets, %d watches, %d in all; want %d, %d, %d", what, r.Txns.Load(), r.Gets.Load(), r.Watches.Load(), r.Total(), txns, gets, watches)
	}
	for _, n := range []interface{ Store(int64) }{&r.Txns, &r.Gets, &r.Watches} {
		n.Store(0)
	}
}

// TestOnePermitIsOneTxn: whichever slot is the first that is free, whether or not the session has seen the limit, and again to release.
func TestOnePermitIsOneTxn(t *testing.T) {
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	limit(t, c, 56)
	others := acquire(t, open(t, c), 55)
	fresh, ofFresh := counted(t, p)
	last := acquire(t, fresh, 1)
	has(t, last, 55)
	costs(t, "the 56th of 56", ofFresh, 1, 0, 0)
	release(t, last)
	costs(t, "a release", ofFresh, 1, 0, 0)
	last, err := semaphore.TryAcquire(t.Context(), fresh, "x", 1, semaphore.Expect(56))
	if err != nil {
		t.Fatal(err)
	}
	costs(t, "a try that expects a limit", ofFresh, 1, 0, 0)
	release(t, last)
	costs(t, "its release", ofFresh, 1, 0, 0)
	release(t, others)
	first := acquire(t, fresh, 1)
	has(t, first, 0)
	costs(t, "the first of 56", ofFresh, 1, 0, 0)
	release(t, first)
	left(t, c)
}

func TestSeveralPermitsAreTwoTxns(t *testing.T) {
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	limit(t, c, 100)
	s, r := counted(t, p)
	for _, n := range []int{2, 60} {
		permit := acquire(t, s, n)
		costs(t, "several permits", r, 2, 0, 0)
		release(t, permit)
		costs(t, "their release", r, 1, 0, 0)
		permit, err := semaphore.TryAcquire(t.Context(), s, "x", n)
		if err != nil {
			t.Fatal(err)
		}
		costs(t, "a try", r, 2, 0, 0)
		release(t, permit)
		costs(t, "its release", r, 1, 0, 0)
	}
	left(t, c)
}

// TestWhatTakesALook: one permit is two Txns where a free slot does not tell, and where there are more slots than the session knows, or can ask for.
func TestWhatTakesALook(t *testing.T) {
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	limit(t, c, 2)
	s, r := counted(t, p, in("a"))
	first, second := acquire(t, s, 1), acquire(t, s, 1)
	costs(t, "two permits", r, 2, 0, 0)
	limit(t, c, 3)
	third := acquire(t, s, 1)
	costs(t, "one more than the session knew of", r, 2, 0, 0)
	release(t, first)
	release(t, second)
	costs(t, "two releases", r, 2, 0, 0)
	limit(t, c, 2) // slot 2 is still taken
	first = acquire(t, s, 1)
	costs(t, "after a lowering that has not drained", r, 2, 0, 0)
	release(t, first)
	release(t, third)
	costs(t, "two releases", r, 2, 0, 0)
	first = acquire(t, s, 1)
	costs(t, "after one that has", r, 2, 0, 0)
	release(t, first)
	costs(t, "a release", r, 1, 0, 0)
	first = acquire(t, s, 1)
	costs(t, "once somebody has seen that", r, 1, 0, 0)
	release(t, first)
	costs(t, "a release", r, 1, 0, 0)
	limit(t, c, 100, semaphore.Spread("rack", 60))
	first = acquire(t, s, 1)
	costs(t, "spread permits", r, 2, 0, 0)
	release(t, first)
	costs(t, "a release", r, 1, 0, 0)
	most := acquire(t, s, 60)
	costs(t, "60 of them", r, 2, 0, 0)
	limit(t, c, 100, semaphore.NoSpread())
	first = acquire(t, s, 1)
	has(t, first, 60)
	costs(t, "the 61st slot", r, 2, 0, 0)
	release(t, most)
	release(t, first)
	left(t, c)
}

func TestWhatIsRefusedIsOneTxn(t *testing.T) {
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	s, r := counted(t, p)
	if _, err := semaphore.Acquire(t.Context(), s, "x", 1); !errors.Is(err, semaphore.ErrNoLimit) {
		t.Error(err)
	}
	costs(t, "no limit, and is there a durable one?", r, 1, 1, 0)
	limit(t, c, 2)
	refused := func(what string) {
		t.Helper()
		if _, ok := errors.AsType[*semaphore.LimitError](errOf(semaphore.Acquire(t.Context(), s, "x", 3))); !ok {
			t.Error("want a *LimitError")
		}
		costs(t, what, r, 1, 0, 0)
	}
	refused("3 of 2")
	other := open(t, c)
	held := acquire(t, other, 2)
	next := acquires(t, c, other, 1, 1)
	refused("3 of 2, while somebody waits")
	release(t, held)
	release(t, <-next)
}

// TestCostOfWaiting: what a waiter costs does not depend on how many wait.
func TestCostOfWaiting(t *testing.T) {
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	limit(t, c, 1)
	holder := open(t, c)
	held := acquire(t, holder, 1)
	head, ofHead := counted(t, p)
	first := acquires(t, c, head, 1, 1)
	eventually(t, func() (string, bool) { return "the head never looked", ofHead.Txns.Load() == 2 })
	costs(t, "the head: joins, watches itself and the permits, looks", ofHead, 2, 0, 2)
	behind, ofBehind := counted(t, p)
	second := acquires(t, c, behind, 1, 2)
	eventually(t, func() (string, bool) { return "the one behind never looked", ofBehind.Txns.Load() == 2 })
	costs(t, "one behind: joins, watches itself and the head, looks", ofBehind, 2, 0, 2)
	release(t, held)
	permit := <-first
	costs(t, "the head takes the permit", ofHead, 1, 0, 0)
	eventually(t, func() (string, bool) { return "the new head never looked", ofBehind.Txns.Load() == 1 })
	costs(t, "the one behind is the head: watches the permits, looks", ofBehind, 1, 0, 1)
	release(t, permit)
	permit = <-second
	costs(t, "and takes the permit", ofBehind, 1, 0, 0)
	release(t, permit)
	left(t, c)
}

func TestBadInputIsRefusedBeforeAnyRequest(t *testing.T) {
	s, r := counted(t, prefix(t))
	c := recipestest.Client(t)
	ofClient := recipestest.Count(c)
	ctx := t.Context()
	work := func(context.Context) error { t.Error("work ran"); return nil }
	bad := map[string]error{}
	for _, name := range []string{"", "a#1", "\xff", "a\nb"} {
		_, bad["Acquire "+name] = semaphore.Acquire(ctx, s, name, 1)
		_, bad["TryAcquire "+name] = semaphore.TryAcquire(ctx, s, name, 1)
		bad["Do "+name] = semaphore.Do(ctx, s, name, 1, work)
		bad["SetLimit "+name] = semaphore.SetLimit(ctx, c, name, 1)
		_, bad["Inspect "+name] = semaphore.Inspect(ctx, c, name)
	}
	for what, err := range bad {
		if !errors.Is(err, session.ErrBadName) {
			t.Errorf("%q: %v, want ErrBadName", what, err)
		}
	}
	var noCtx context.Context
	bad = map[string]error{"SetLimit(-1)": semaphore.SetLimit(ctx, c, "x", -1), "SetLimit(1001)": semaphore.SetLimit(ctx, c, "x", 1001)}
	for what, opts := range map[string][]semaphore.ClientOption{
		"no label": {semaphore.Spread("", 1)}, "a label that is no text": {semaphore.Spread("\xff", 1)}, "none of a rack": {semaphore.Spread("rack", 0)}, "1001 of a rack": {semaphore.Spread("rack", 1001)},
		"both": {semaphore.Spread("rack", 1), semaphore.NoSpread()}, "a bad root": {semaphore.Root("x/")},
	} {
		bad[what] = semaphore.SetLimit(ctx, c, "x", 1, opts...)
	}
	for what, n := range map[string]int{"0": 0, "-1": -1, "61": 61} {
		_, bad["Acquire "+what] = semaphore.Acquire(ctx, s, "x", n)
		_, bad["TryAcquire "+what] = semaphore.TryAcquire(ctx, s, "x", n)
		bad["Do "+what] = semaphore.Do(ctx, s, "x", n, work)
	}
	for _, expect := range []int{-1, 0, 1, 1001} {
		_, bad["Expect"] = semaphore.Acquire(ctx, s, "x", 2, semaphore.Expect(expect))
		if bad["Expect"] == nil {
			t.Errorf("Expect(%d) of 2 was accepted", expect)
		}
	}
	bad["no work"] = semaphore.Do(ctx, s, "x", 1, nil)
	_, bad["a nil session"] = semaphore.Acquire(ctx, nil, "x", 1)
	_, bad["a nil context"] = semaphore.Acquire(noCtx, s, "x", 1)
	bad["SetLimit with a nil context"] = semaphore.SetLimit(noCtx, c, "x", 1)
	bad["SetLimit with a nil client"] = semaphore.SetLimit(ctx, nil, "x", 1)
	bad["SetLimit with an empty client"] = semaphore.SetLimit(ctx, &clientv3.Client{}, "x", 1)
	_, bad["Inspect with Spread"] = semaphore.Inspect(ctx, c, "x", semaphore.Spread("rack", 1))
	bad["Revoke with Spread"] = semaphore.Revoke(ctx, c, "x", "why", 0, semaphore.Spread("rack", 1))
	bad["Force with NoSpread"] = semaphore.Force(ctx, c, "x", "why", semaphore.NoSpread())
	bad["Remove with NoSpread"] = semaphore.Remove(ctx, c, "x", "id", "why", semaphore.NoSpread())
	bad["Revoke by nobody"] = semaphore.Revoke(ctx, c, "x", "why", 0, semaphore.By(""))
	_, bad["List with NoSpread"] = semaphore.List(ctx, c, semaphore.NoSpread())
	for _, err := range semaphore.Watch(ctx, c, "x", semaphore.NoSpread()) {
		bad["Watch with NoSpread"] = err
	}
	for what, err := range bad {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	costs(t, "bad input", r, 0, 0, 0)
	if n := ofClient.Total(); n > 0 {
		t.Errorf("bad input sent %d requests", n)
	}
}
