package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestACrowdOfProcesses: all of them want a permit again and again, and all get it; and no more than the limit believe that they hold.
func TestACrowdOfProcesses(t *testing.T) {
	const crowd, turns, limit = 12, 10, 3
	newDurable(t, recipestest.Namespace(t, t.Name()), limit)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var inside atomic.Int64
	var going sync.WaitGroup
	for i := range crowd {
		d := semaphore.Durable(recipestest.Namespace(t, t.Name()), "x")
		going.Go(func() {
			for range turns {
				p, err := d.Acquire(ctx, fmt.Sprint("m", i))
				if err != nil {
					t.Errorf("Acquire = %v", err)
					return
				}
				if n := inside.Add(1); n > limit {
					t.Errorf("%d believe that they hold, the limit is %d", n, limit)
				}
				inside.Add(-1)
				if err := d.Release(ctx, p.ID, p.Token); err != nil {
					t.Errorf("Release = %v", err)
				}
			}
		})
	}
	going.Wait()
}

// TestACrashBetweenTheGrantAndItsUse: whoever never heard of its permit finds it, and holds it as if it had.
func TestACrashBetweenTheGrantAndItsUse(t *testing.T) {
	faults := recipestest.NewFaults(t)
	c := recipestest.Client(t, faults)
	newDurable(t, c, 1)
	lost := faults.DropAnswer(2, recipestest.Silence) // a look, then the Txn
	ctx, crash := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- durableErr(semaphore.Durable(c, "x").Acquire(ctx, "m1")) }()
	<-lost.Answered()
	crash()
	if err := <-done; !errors.Is(err, session.ErrUnknownOutcome) {
		t.Errorf("Acquire = %v, want ErrUnknownOutcome", err)
	}
	d := semaphore.Durable(c, "x")
	p, err := d.Held(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.Acquire(t.Context(), "m1"); err != nil || again.Token != p.Token {
		t.Errorf("Acquire again = %+v, %v, want %+v", again, err, p)
	}
	gives(t, d, p)
}

// TestAGateKnowsTheHoldersOfASlot: the one before is refused once the next one has shown itself, and one in another slot is nobody's rival.
func TestAGateKnowsTheHoldersOfASlot(t *testing.T) {
	d := newDurable(t, recipestest.Client(t), 2)
	old, other := takes(t, d, "m1"), takes(t, d, "m2")
	gives(t, d, old)
	now := takes(t, d, "m3")
	var gate fencing.Memory
	if err := gate.Check(old.Context(t.Context())); err != nil {
		t.Errorf("m1, before anybody else: %v", err)
	}
	if err := errors.Join(gate.Check(now.Context(t.Context())), gate.Check(other.Context(t.Context()))); err != nil {
		t.Errorf("m3 and m2: %v", err)
	}
	if err := gate.Check(old.Context(t.Context())); !errors.Is(err, fencing.ErrStale) {
		t.Errorf("m1, after m3: %v, want ErrStale", err)
	}
	if err := gate.Check(other.Context(t.Context())); err != nil {
		t.Errorf("m2, in another slot: %v", err)
	}
}
