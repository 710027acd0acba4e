package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// durableGate holds a client's requests back until it is opened.
type durableGate struct {
	clientv3.KV
	mu   sync.Mutex
	free int // so many may pass nevertheless
	open chan struct{}
}

func newDurableGate(c *clientv3.Client) *durableGate {
	g := &durableGate{KV: c.KV, open: make(chan struct{})}
	close(g.open)
	c.KV = g
	return g
}

// shut shuts the gate after so many requests more.
func (g *durableGate) shut(after int) (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free, g.open = after, make(chan struct{})
	return sync.OnceFunc(func() { close(g.open) })
}

func (g *durableGate) pass() {
	g.mu.Lock()
	open := g.open
	g.free--
	pass := g.free >= 0
	g.mu.Unlock()
	if !pass {
		<-open
	}
}

// waiting reports whether a request stands before the gate.
func (g *durableGate) waiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.free < 0
}

func (g *durableGate) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	g.pass()
	return g.KV.Get(ctx, key, opts...)
}

func (g *durableGate) Txn(ctx context.Context) clientv3.Txn {
	g.pass()
	return g.KV.Txn(ctx)
}

// TestOneTransactionForAll: what comes while a request is on its way goes into the next one.
func TestOneTransactionForAll(t *testing.T) {
	const crowd, limit = 100, 60
	c := recipestest.Client(t)
	newDurable(t, c, limit)
	g, requests := newDurableGate(c), recipestest.Count(c)
	d := semaphore.Durable(c, "x")
	// together has all of them call at the same time: one is sent, and the others come while it is on its way.
	together := func(n int, call func(i int)) {
		t.Helper()
		open := g.shut(0)
		var calls sync.WaitGroup
		for i := range n {
			calls.Go(func() { call(i) })
			if i == 0 {
				soon(t, "the first is sent", g.waiting)
			}
		}
		soon(t, "all have asked", func() bool { return d.Pending() == n })
		open()
		calls.Wait()
	}
	cost := func(what string, gets, txns int64) {
		t.Helper()
		if requests.Gets.Load() != gets || requests.Txns.Load() != txns {
			t.Errorf("%s: %d Gets and %d Txns, want %d and %d", what, requests.Gets.Load(), requests.Txns.Load(), gets, txns)
		}
		requests.Gets.Store(0)
		requests.Txns.Store(0)
	}

	var mu sync.Mutex
	var got []semaphore.DurablePermit
	refused := 0
	together(crowd, func(i int) {
		p, err := d.TryAcquire(t.Context(), fmt.Sprint("m", i))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			got = append(got, p)
		case errors.Is(err, semaphore.ErrHeld):
			refused++
		default:
			t.Error(err)
		}
	})
	cost("acquiring", 1, 2)
	if len(got) != limit || refused != crowd-limit {
		t.Fatalf("%d permits and %d refusals, want %d and %d", len(got), refused, limit, crowd-limit)
	}
	slots := map[int]bool{}
	for _, p := range got {
		slots[p.Slot] = true
	}
	if len(slots) != limit {
		t.Errorf("%d slots for %d holders", len(slots), limit)
	}
	together(crowd, func(i int) {
		p := got[i%limit]
		if again, err := d.Acquire(t.Context(), p.ID); err != nil || again.Token != p.Token {
			t.Errorf("Acquire again = %+v, %v", again, err)
		}
	})
	cost("acquiring again", 2, 0)
	together(limit, func(i int) { gives(t, d, got[i]) })
	cost("releasing", 0, 2)
	together(crowd, func(i int) { gives(t, d, got[i%limit]) })
	cost("releasing again", 2, 0)
	if s := inspects(t, d); len(s.Holders) != 0 {
		t.Errorf("%v hold", s.Holders)
	}
	soon(t, "nothing runs", d.Idle)
}

// TestWhatIsFreedIsThereForWhoComesWithIt: in one transaction, and never with the same token.
func TestWhatIsFreedIsThereForWhoComesWithIt(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	p := takes(t, d, "m1")
	gate := newDurableGate(c)
	open := gate.shut(0)
	requests := recipestest.Count(c)
	var calls sync.WaitGroup
	calls.Go(func() { inspects(t, d) })
	soon(t, "the look is on its way", gate.waiting)
	var next semaphore.DurablePermit
	calls.Go(func() { next = takes(t, d, "m2") })
	soon(t, "m2 has asked", func() bool { return d.Pending() == 2 })
	calls.Go(func() { gives(t, d, p) })
	soon(t, "m1 gives back", func() bool { return d.Pending() == 3 })
	open()
	calls.Wait()
	if n := requests.Txns.Load(); n != 1 || next.Slot != p.Slot || next.Token.Compare(p.Token) <= 0 {
		t.Errorf("%d Txns, and %+v after %+v: want 1, the same slot, a larger token", n, next, p)
	}
}

// TestARemovalAndAnAcquisitionTogether: no slot has two holders with one token.
func TestARemovalAndAnAcquisitionTogether(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	gate := newDurableGate(c)
	open := gate.shut(0)
	var calls sync.WaitGroup
	calls.Go(func() { inspects(t, d) })
	soon(t, "the look is on its way", gate.waiting)
	var p semaphore.DurablePermit
	calls.Go(func() { p = takes(t, d, "m1") })
	soon(t, "m1 has asked", func() bool { return d.Pending() == 2 })
	calls.Go(func() {
		if err := d.Remove(t.Context(), "m1", ""); !errors.Is(err, semaphore.ErrNotHeld) {
			t.Errorf("Remove = %v, want ErrNotHeld: it held nothing before", err)
		}
	})
	soon(t, "somebody removes it", func() bool { return d.Pending() == 3 })
	open()
	calls.Wait()
	if held, err := d.Held(t.Context(), "m1"); err != nil || held.Token != p.Token {
		t.Errorf("Held = %+v, %v, want %+v", held, err, p)
	}
}

// TestCostOfADurablePermit, with nobody else: the first call reads, and each change is one transaction.
func TestCostOfADurablePermit(t *testing.T) {
	c := recipestest.Client(t)
	newDurable(t, c, 1)
	requests := recipestest.Count(c)
	d := semaphore.Durable(c, "x")
	for n := range int64(3) {
		gives(t, d, takes(t, d, "m1"))
		if requests.Gets.Load() != 1 || requests.Txns.Load() != 2*(n+1) || requests.Total() != 2*n+3 {
			t.Errorf("%d Gets and %d Txns of %d requests, want 1 and %d", requests.Gets.Load(), requests.Txns.Load(), requests.Total(), 2*(n+1))
		}
	}
}

// TestAConflictIsTriedAgain: what somebody else has changed meanwhile costs one more request, or two.
func TestAConflictIsTriedAgain(t *testing.T) {
	c := recipestest.Client(t)
	rival := newDurable(t, c, 5)
	d := semaphore.Durable(c, "x")
	takes(t, d, "m1")
	takes(t, rival, "m2")
	requests := recipestest.Count(c)
	p := takes(t, d, "m3") // knows nothing of m2
	if n := requests.Txns.Load(); n != 2 || requests.Gets.Load() != 0 || p.Slot != 2 {
		t.Errorf("%d Txns and %d Gets, slot %d: want 2, 0, and slot 2", n, requests.Gets.Load(), p.Slot)
	}
}

// faster is somebody who changes the record before each transaction.
type faster struct {
	clientv3.KV
	change func()
}

func (f faster) Txn(ctx context.Context) clientv3.Txn {
	f.change()
	return f.KV.Txn(ctx)
}

// TestOthersWhoAreFasterAreNoOutage: etcd has answered each time.
func TestOthersWhoAreFasterAreNoOutage(t *testing.T) {
	t.Parallel()
	c := recipestest.Client(t)
	newDurable(t, c, 1)
	kv := c.KV
	resp, err := kv.Get(t.Context(), durableKey)
	if err != nil {
		t.Fatal(err)
	}
	c.KV = faster{kv, func() { _, _ = kv.Put(context.Background(), durableKey, string(resp.Kvs[0].Value)) }}
	d := semaphore.Durable(c, "x")
	if _, err := d.TryAcquire(t.Context(), "m1"); err == nil || errors.Is(err, session.ErrUnavailable) ||
		!errors.Is(err, session.ErrUnknownOutcome) && !strings.Contains(err.Error(), "others have changed") { // at that instant an attempt may be on its way
		t.Errorf("TryAcquire = %v, want to be told that others were faster", err)
	}
}

// TestOnesOwnConditionsAreNobodyElses: who has some goes alone, and those who come with it get what they want.
func TestOnesOwnConditionsAreNobodyElses(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 5)
	gate := newDurableGate(c)
	open := gate.shut(0)
	requests := recipestest.Count(c)
	var calls sync.WaitGroup
	calls.Go(func() { inspects(t, d) })
	soon(t, "the look is on its way", gate.waiting)
	never := clientv3.Compare(clientv3.CreateRevision("never"), ">", 0)
	opts := [][]semaphore.DurableOption{{}, {semaphore.If(never), semaphore.Then(clientv3.OpPut("b", ""))}, {semaphore.Then(clientv3.OpPut("c", ""))}, {}}
	got, errs := make([]semaphore.DurablePermit, 4), make([]error, 4)
	for i := range opts {
		calls.Go(func() { got[i], errs[i] = d.TryAcquire(t.Context(), fmt.Sprint("m", i), opts[i]...) })
		soon(t, "it has asked", func() bool { return d.Pending() == i+2 })
	}
	open()
	calls.Wait()
	if errs[0] != nil || !errors.Is(errs[1], semaphore.ErrCondition) || errs[2] != nil || errs[3] != nil {
		t.Fatalf("%v, want ErrCondition for the second", errs)
	}
	if rev := revisionOf(t, c, "c"); fencing.FromRevision(rev) != got[2].Token || revisionOf(t, c, "b") != 0 {
		t.Errorf("its operation was done at %d, its permit is of %v", rev, got[2].Token)
	}
	if n := requests.Txns.Load(); n != 4 {
		t.Errorf("%d Txns, want one each", n)
	}
}

// TestNothingIsAnsweredFromMemory: what this process has seen last may be over.
func TestNothingIsAnsweredFromMemory(t *testing.T) {
	c := recipestest.Client(t)
	rival := newDurable(t, c, 1)
	d := semaphore.Durable(c, "x")
	p := takes(t, d, "m1")
	gives(t, rival, p)
	if _, err := d.Held(t.Context(), "m1"); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Held = %v, want ErrNotHeld: it was released", err)
	}
	other := takes(t, d, "m2")
	gives(t, rival, other)
	takes(t, rival, "m3")
	if _, err := d.TryAcquire(t.Context(), "m2"); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("TryAcquire = %v, want ErrHeld: m3 has it", err)
	}
}
