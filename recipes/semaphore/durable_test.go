package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

const durableKey = "/stile/v1/semaphore/x/durable"

// newDurable is the durable semaphore x with a limit.
func newDurable(t *testing.T, c *clientv3.Client, limit int, opts ...semaphore.DurableOption) *semaphore.DurableSemaphore {
	t.Helper()
	d := semaphore.Durable(c, "x")
	if err := d.SetLimit(t.Context(), limit, opts...); err != nil {
		t.Fatal(err)
	}
	return d
}

// takes acquires, and must get it at once.
func takes(t *testing.T, d *semaphore.DurableSemaphore, id string, opts ...semaphore.DurableOption) semaphore.DurablePermit {
	t.Helper()
	p, err := d.TryAcquire(t.Context(), id, opts...)
	if err != nil {
		t.Fatalf("TryAcquire of %s: %v", id, err)
	}
	return p
}

func gives(t *testing.T, d *semaphore.DurableSemaphore, p semaphore.DurablePermit) {
	t.Helper()
	if err := d.Release(t.Context(), p.ID, p.Token); err != nil {
		t.Errorf("Release of %s: %v", p.ID, err)
	}
}

func inspects(t *testing.T, d *semaphore.DurableSemaphore) semaphore.DurableState {
	t.Helper()
	s, err := d.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func holderIDs(s semaphore.DurableState) string {
	var ids []string
	for _, h := range s.Holders {
		ids = append(ids, h.ID)
	}
	return strings.Join(ids, " ")
}

// soon waits for what must come about, however busy the machine is.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatalf("it never came about: %s", what)
		}
	}
}

func TestADurablePermitIsTheSameForWhoeverAsksAgain(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	first := takes(t, d, "m1", semaphore.Labels(map[string]string{"rack": "a"}))
	before := inspects(t, d).Revision
	for _, again := range []*semaphore.DurableSemaphore{d, semaphore.Durable(c, "x")} {
		p, err := again.Acquire(t.Context(), "m1", semaphore.Labels(map[string]string{"rack": "b"}))
		if err != nil || p.Token != first.Token || p.Slot != first.Slot || p.Labels["rack"] != "a" || !p.At.Equal(first.At) {
			t.Errorf("Acquire again = %+v, %v, want %+v", p, err, first)
		}
		held, err := again.Held(t.Context(), "m1")
		if err != nil || held.Token != first.Token {
			t.Errorf("Held = %+v, %v, want %+v", held, err, first)
		}
	}
	if rev := inspects(t, d).Revision; rev != before {
		t.Errorf("the record was written at %d, and nothing has changed since %d", rev, before)
	}
	if first.Token != fencing.FromRevision(before) {
		t.Errorf("token %v, want the revision of the write that granted it, %d", first.Token, before)
	}
}

// TestHeldNeverAcquires: however much room there is.
func TestHeldNeverAcquires(t *testing.T) {
	d := newDurable(t, recipestest.Client(t), 5)
	if _, err := d.Held(t.Context(), "m1"); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Held = %v, want ErrNotHeld", err)
	}
	if s := inspects(t, d); len(s.Holders) != 0 {
		t.Errorf("%v hold", s.Holders)
	}
}

func TestReleasingTwiceIsReleasingOnce(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	old := takes(t, d, "m1")
	gives(t, d, old)
	gives(t, d, old)
	gives(t, semaphore.Durable(c, "x"), old)
	again := takes(t, d, "m1")
	if again.Token.Compare(old.Token) <= 0 {
		t.Errorf("token %v after %v: it must be larger", again.Token, old.Token)
	}
	gives(t, d, old) // late: it must not touch the later permit
	if p, err := d.Held(t.Context(), "m1"); err != nil || p.Token != again.Token {
		t.Errorf("Held = %+v, %v, want %+v: a late release has taken a later permit", p, err, again)
	}
	if err := d.Release(t.Context(), "m2", again.Token); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Release by another id = %v, want ErrNotHeld", err)
	}
	if err := d.Release(t.Context(), "m1", fencing.FromRevision(1)); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Release of a token that never was = %v, want ErrNotHeld", err)
	}
	if s := inspects(t, d); holderIDs(s) != "m1" {
		t.Errorf("%v hold, want m1", s.Holders)
	}
}

// TestTheLowestFreeSlotComesFirst, and tokens of one slot rise, whatever the limit was meanwhile.
func TestTheLowestFreeSlotComesFirst(t *testing.T) {
	d := newDurable(t, recipestest.Client(t), 4)
	var ps []semaphore.DurablePermit
	for i := range 4 {
		p := takes(t, d, fmt.Sprint("m", i))
		if p.Slot != i || p.Resource != fmt.Sprintf("semaphore/x#%d", i) {
			t.Errorf("%+v, want slot %d", p, i)
		}
		ps = append(ps, p)
	}
	gives(t, d, ps[2])
	gives(t, d, ps[1])
	if err := d.SetLimit(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	p := takes(t, d, "m5")
	if p.Slot != 1 || p.Token.Compare(ps[1].Token) <= 0 {
		t.Errorf("%+v, want slot 1 and a token larger than %v", p, ps[1].Token)
	}
	if _, err := d.TryAcquire(t.Context(), "m6"); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("TryAcquire = %v, want ErrHeld: 3 of 3 are held, one of them in slot 3", err)
	}
}

func TestAFullSemaphoreSaysSo(t *testing.T) {
	d := newDurable(t, recipestest.Client(t), 3, semaphore.Group("rack", 1))
	in := func(rack string) semaphore.DurableOption {
		return semaphore.Labels(map[string]string{"rack": rack})
	}
	takes(t, d, "m1", in("a"))
	_, err := d.TryAcquire(t.Context(), "m2", in("a"))
	full, ok := errors.AsType[*semaphore.DurableFullError](err)
	if want := (semaphore.DurableFullError{Name: "x", Limit: 1, Held: 1, Label: "rack", Value: "a"}); !ok || *full != want || !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("%v, want %+v", err, want)
	}
	takes(t, d, "m2", in("b"))
	takes(t, d, "m3") // without the label: the empty value
	if err := d.SetLimit(t.Context(), 2, semaphore.Group("rack", 1)); err != nil {
		t.Fatal(err)
	}
	_, err = d.TryAcquire(t.Context(), "m4", in("c"))
	full, ok = errors.AsType[*semaphore.DurableFullError](err)
	if want := (semaphore.DurableFullError{Name: "x", Limit: 2, Held: 3}); !ok || *full != want {
		t.Errorf("%v, want %+v", err, want)
	}
	if err := d.SetLimit(t.Context(), 5, semaphore.Group("rack", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err = d.TryAcquire(t.Context(), "m4"); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("a second one without the label: %v, want ErrHeld", err)
	}
	if err := d.SetLimit(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	takes(t, d, "m4") // the group limits are those of the last SetLimit
}

// TestWhoWaitsGetsWhatIsFreed: by a release, by an operator, by a larger limit, and by its group.
func TestWhoWaitsGetsWhatIsFreed(t *testing.T) {
	for how, free := range map[string]func(t *testing.T, d *semaphore.DurableSemaphore, p semaphore.DurablePermit){
		"released": gives,
		"removed": func(t *testing.T, d *semaphore.DurableSemaphore, p semaphore.DurablePermit) {
			t.Helper()
			if err := d.Remove(t.Context(), p.ID, "dead"); err != nil {
				t.Error(err)
			}
		},
		"limit": func(t *testing.T, d *semaphore.DurableSemaphore, _ semaphore.DurablePermit) {
			t.Helper()
			if err := d.SetLimit(t.Context(), 2); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			c := recipestest.Client(t)
			d := newDurable(t, c, 1)
			first := takes(t, d, "m1")
			got := make(chan error, 1)
			requests := recipestest.Count(c)
			go func() {
				p, err := d.Acquire(t.Context(), "m2")
				if err == nil && p.ID != "m2" {
					err = fmt.Errorf("got %+v", p)
				}
				got <- err
			}()
			soon(t, "it watches", func() bool { return requests.Watches.Load() == 1 && requests.Gets.Load() == 2 })
			free(t, d, first)
			if err := <-got; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	d := newDurable(t, recipestest.Client(t), 0)
	errMine := errors.New("mine")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errMine)
	defer cancel()
	_, err := d.Acquire(ctx, "m1")
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errMine) || errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrUnknownOutcome) {
		t.Errorf("Acquire = %v, want the ctx's error and cause, and no other", err)
	}
	if text := err.Error(); text != `semaphore "x": acquire: full: 0 of 0 permits are held, while waiting for one: context deadline exceeded: mine` {
		t.Errorf("it says %s", text)
	}
	if s := inspects(t, d); len(s.Holders) != 0 {
		t.Errorf("%v hold", s.Holders)
	}
}

// TestARemovedHolderIsTold, once it is back; and what it has got since stays.
func TestARemovedHolderIsTold(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	p := takes(t, d, "m1")
	if err := d.Remove(t.Context(), "m1", "its disk is dead"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Held(t.Context(), "m1"); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Held = %v, want ErrNotHeld", err)
	}
	err := d.Release(t.Context(), "m1", p.Token)
	if !errors.Is(err, session.ErrLost) || !strings.Contains(err.Error(), "its disk is dead") {
		t.Errorf("Release = %v, want ErrLost and the reason", err)
	}
	takes(t, d, "m1")
	s := inspects(t, d)
	if len(s.Released) != 1 || !s.Released[0].Removed || s.Released[0].Reason != "its disk is dead" || s.Released[0].Token != p.Token || holderIDs(s) != "m1" {
		t.Errorf("%+v", s)
	}
	before := s.Revision
	if err := d.Remove(t.Context(), "m2", ""); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Remove of nobody = %v, want ErrNotHeld", err)
	}
	if s := inspects(t, d); s.Revision == before || holderIDs(s) != "m1" {
		t.Errorf("%+v: want it written again, with the same holders", s)
	}
}

func ids(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint("m", i))
	}
	return ids
}
