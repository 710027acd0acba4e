package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// givenUp is an acquisition by m1 that was given up while its write was on its way, and that write.
func givenUp(t *testing.T, opts ...semaphore.DurableOption) (*clientv3.Client, *recipestest.Late) {
	t.Helper()
	faults := recipestest.NewFaults(t)
	c := recipestest.Client(t, faults)
	newDurable(t, c, 1)
	late := faults.LateRequest(2, recipestest.Silence) // a look, then the Txn
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- durableErr(semaphore.Durable(c, "x").Acquire(ctx, "m1", opts...)) }()
	<-late.Held()
	cancel()
	if err := <-done; !errors.Is(err, session.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Fatalf("Acquire = %v, want ErrUnknownOutcome", err)
	}
	return c, late
}

// TestWhoLeavesBeforeTheWriteGetsNothing: somebody else waits, so the round that has begun with it goes on.
func TestWhoLeavesBeforeTheWriteGetsNothing(t *testing.T) {
	c := recipestest.Client(t)
	newDurable(t, c, 1)
	gate := newDurableGate(c)
	open := gate.shut(0)
	d := semaphore.Durable(c, "x")
	ctx, cancel := context.WithCancel(t.Context())
	left, stayed := make(chan error, 1), make(chan error, 1)
	go func() { left <- durableErr(d.Acquire(ctx, "a")) }()
	soon(t, "its look is on its way", gate.waiting)
	go func() { stayed <- durableErr(d.Held(t.Context(), "b")) }()
	soon(t, "another has asked", func() bool { return d.Pending() == 2 })
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) || errors.Is(err, session.ErrUnknownOutcome) {
		t.Errorf("Acquire = %v, want context.Canceled alone: nothing was sent", err)
	}
	open()
	if err := <-stayed; !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Held = %v, want ErrNotHeld", err)
	}
	if s := inspects(t, d); len(s.Holders) != 0 {
		t.Errorf("%q hold: Acquire said that nothing was changed", holderIDs(s))
	}
}

func arrives(t *testing.T, late *recipestest.Late) {
	t.Helper()
	if err := late.LetThrough(); err != nil {
		t.Fatal(err)
	}
}

// TestAnAcquisitionThatWasGivenUpMayArrive: so the error says that nobody knows. To acquire again finds it.
func TestAnAcquisitionThatWasGivenUpMayArrive(t *testing.T) {
	c, late := givenUp(t)
	arrives(t, late)
	d := semaphore.Durable(c, "x")
	p := takes(t, d, "m1")
	if s := inspects(t, d); holderIDs(s) != "m1" || s.Holders[0].Token != p.Token {
		t.Errorf("%+v", s)
	}
	gives(t, d, p)
}

// TestARefusalDoesNotHideWhatIsStillOnItsWay: the second attempt is refused, and the first may still arrive.
func TestARefusalDoesNotHideWhatIsStillOnItsWay(t *testing.T) {
	faults := recipestest.NewFaults(t)
	c := recipestest.Client(t, faults)
	d := newDurable(t, c, 1)
	inspects(t, d)
	late, refused := faults.LateRequest(1, recipestest.Reset), faults.Refuse(2, rpctypes.ErrGRPCPermissionDenied)
	_, err := d.Acquire(t.Context(), "m1")
	<-refused
	if !errors.Is(err, session.ErrUnknownOutcome) || !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("Acquire = %v, want ErrUnknownOutcome, and why", err)
	}
	arrives(t, late)
	if s := inspects(t, d); holderIDs(s) != "m1" {
		t.Errorf("%q hold: the test does not show what it is to show", holderIDs(s))
	}
}

// TestWhatIsWrittenLaterVoidsWhatWasGivenUp: whoever has written, and whatever it was.
func TestWhatIsWrittenLaterVoidsWhatWasGivenUp(t *testing.T) {
	audited := semaphore.Then(clientv3.OpPut("audit", ""))
	for how, write := range map[string]func(t *testing.T, d *semaphore.DurableSemaphore) string{
		"the same acquired and released": func(t *testing.T, d *semaphore.DurableSemaphore) string {
			t.Helper()
			gives(t, d, takes(t, d, "m1"))
			return ""
		},
		"somebody else acquired": func(t *testing.T, d *semaphore.DurableSemaphore) string {
			t.Helper()
			takes(t, d, "m2")
			return "m2"
		},
		"removed": func(t *testing.T, d *semaphore.DurableSemaphore) string {
			t.Helper()
			if err := d.Remove(t.Context(), "m1", "gone"); !errors.Is(err, semaphore.ErrNotHeld) {
				t.Errorf("Remove = %v, want ErrNotHeld", err)
			}
			return ""
		},
		"the same limit": func(t *testing.T, d *semaphore.DurableSemaphore) string {
			t.Helper()
			if err := d.SetLimit(t.Context(), 1); err != nil {
				t.Error(err)
			}
			return ""
		},
	} {
		t.Run(how, func(t *testing.T) {
			c, late := givenUp(t, audited)
			d := semaphore.Durable(c, "x")
			want := write(t, d)
			arrives(t, late)
			if s := inspects(t, d); holderIDs(s) != want {
				t.Errorf("%q hold, want %q: what was given up has come back", holderIDs(s), want)
			}
			if revisionOf(t, c, "audit") != 0 {
				t.Error("the operation was done")
			}
		})
	}
}

// TestALateFirstLimitMakesNothingNew: the record is never deleted, so a late copy of its creation finds it, whatever it is by then.
func TestALateFirstLimitMakesNothingNew(t *testing.T) {
	faults := recipestest.NewFaults(t)
	c := recipestest.Client(t, faults)
	late := faults.LateRequest(3, recipestest.Reset) // two looks, then the Txn
	d := newDurable(t, c, 5)
	if err := d.SetLimit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	takes(t, d, "m1")
	arrives(t, late)
	if s := inspects(t, d); s.Limit != 1 || holderIDs(s) != "m1" {
		t.Errorf("%+v: want the limit 1, held by m1", s)
	}
}

// unanswered makes a call whose write is applied and not answered, and then, before the call can try again, something else.
func unanswered(t *testing.T, c *clientv3.Client, faults *recipestest.Faults, call func() error, meanwhile func()) error {
	t.Helper()
	open := newDurableGate(c).shut(2) // a look, and the Txn
	lost := faults.DropAnswer(2, recipestest.Reset)
	done := make(chan error, 1)
	go func() { done <- call() }()
	<-lost.Answered()
	meanwhile()
	open()
	return <-done
}

// TestALateLimitDoesNotComeBack: the answer to a limit is lost, another one comes after it, and the first is not set again.
func TestALateLimitDoesNotComeBack(t *testing.T) {
	for _, with := range []struct {
		name string
		opts []semaphore.DurableOption
		want error
	}{{"alone", nil, nil}, {"with an operation", []semaphore.DurableOption{semaphore.Then(clientv3.OpPut("audit", ""))}, session.ErrUnknownOutcome}} {
		t.Run(with.name, func(t *testing.T) {
			faults := recipestest.NewFaults(t)
			c := recipestest.Namespace(t, t.Name(), faults)
			rival := newDurable(t, recipestest.Namespace(t, t.Name()), 5)
			d := semaphore.Durable(c, "x")
			err := unanswered(t, c, faults, func() error { return d.SetLimit(t.Context(), 7, with.opts...) }, func() {
				if s := inspects(t, rival); s.Limit != 7 {
					t.Errorf("limit %d, want 7", s.Limit)
				}
				if err := rival.SetLimit(t.Context(), 3); err != nil {
					t.Fatal(err)
				}
			})
			if !errors.Is(err, with.want) {
				t.Errorf("SetLimit = %v, want %v", err, with.want)
			}
			if s := inspects(t, rival); s.Limit != 3 {
				t.Errorf("limit %d, want 3, which came last", s.Limit)
			}
		})
	}
}

// TestALimitThatWasNotAppliedIsSetAgain, after somebody else's that came between its look and its write: it never lies.
func TestALimitThatWasNotAppliedIsSetAgain(t *testing.T) {
	c := recipestest.Namespace(t, t.Name())
	rival := newDurable(t, recipestest.Namespace(t, t.Name()), 5)
	d := semaphore.Durable(c, "x")
	gate := newDurableGate(c)
	open := gate.shut(1)
	done := make(chan error, 1)
	go func() { done <- d.SetLimit(t.Context(), 7) }()
	soon(t, "it has looked", gate.waiting)
	if err := rival.SetLimit(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	open()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := inspects(t, rival); s.Limit != 7 {
		t.Errorf("limit %d, want 7", s.Limit)
	}
}

// TestALimitIsNotTakenForOvertaken: by one that was set before the call, of which this process had not heard; whichever request gets lost.
func TestALimitIsNotTakenForOvertaken(t *testing.T) {
	for n := range 4 {
		faults := recipestest.NewFaults(t)
		part := fmt.Sprint(t.Name(), n)
		c := recipestest.Namespace(t, part, faults)
		rival := newDurable(t, recipestest.Namespace(t, part), 5)
		d := semaphore.Durable(c, "x")
		inspects(t, d) // it knows what there was then
		if err := rival.SetLimit(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		faults.LateRequest(n+1, recipestest.Reset)
		if err := d.SetLimit(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		if s := inspects(t, rival); s.Limit != 7 {
			t.Errorf("request %d lost: limit %d, want 7", n+1, s.Limit)
		}
	}
}

// TestARemovalIsNotAboutAPermitOfBefore the call, which this process knew, and which has ended since.
func TestARemovalIsNotAboutAPermitOfBefore(t *testing.T) {
	c := recipestest.Client(t)
	rival := newDurable(t, c, 1)
	p := takes(t, rival, "m1")
	d := semaphore.Durable(c, "x")
	inspects(t, d)
	gives(t, rival, p)
	takes(t, rival, "m1")
	if err := d.Remove(t.Context(), "m1", "gone"); err != nil {
		t.Errorf("Remove = %v", err)
	}
	if s := inspects(t, rival); holderIDs(s) != "" {
		t.Errorf("%q hold, want nobody", holderIDs(s))
	}
}

// TestARemovalIsAboutThePermitThatItHasSeen: when its answer is lost and the machine is back meanwhile, the new permit stays.
func TestARemovalIsAboutThePermitThatItHasSeen(t *testing.T) {
	faults := recipestest.NewFaults(t)
	c := recipestest.Namespace(t, t.Name(), faults)
	rival := newDurable(t, recipestest.Namespace(t, t.Name()), 1)
	takes(t, rival, "m1")
	d := semaphore.Durable(c, "x")
	var p semaphore.DurablePermit
	err := unanswered(t, c, faults, func() error { return d.Remove(t.Context(), "m1", "gone") }, func() { p = takes(t, rival, "m1") })
	if err != nil {
		t.Errorf("Remove = %v", err)
	}
	if held, err := rival.Held(t.Context(), "m1"); err != nil || held.Token != p.Token {
		t.Errorf("Held = %+v, %v, want %+v", held, err, p)
	}
}

// TestAReleaseIsKnownHoweverManyCameAfterIt: its answer is lost, and more are released meanwhile than are remembered.
func TestAReleaseIsKnownHoweverManyCameAfterIt(t *testing.T) {
	faults := recipestest.NewFaults(t)
	c := recipestest.Namespace(t, t.Name(), faults)
	rival := newDurable(t, recipestest.Namespace(t, t.Name()), 1)
	p := takes(t, rival, "m1")
	d := semaphore.Durable(c, "x")
	err := unanswered(t, c, faults, func() error { return d.Release(t.Context(), "m1", p.Token) }, func() {
		for range 257 {
			gives(t, rival, takes(t, rival, "m2"))
		}
		if err := rival.Release(t.Context(), "m1", p.Token); !errors.Is(err, semaphore.ErrNotHeld) {
			t.Errorf("it is remembered still: %v", err)
		}
	})
	if err != nil {
		t.Errorf("Release = %v", err)
	}
}
