package semaphore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestNoDurableCallOutlivesItsContext: whatever etcd does; and it says whose time ran out, and that etcd is away.
func TestNoDurableCallOutlivesItsContext(t *testing.T) {
	t.Parallel()
	const patience, promised = 100 * time.Millisecond, 250 * time.Millisecond
	for how, symptom := range map[string]recipestest.Symptom{"refused": recipestest.Reset, "swallowed": recipestest.Silence} {
		t.Run(how, func(t *testing.T) {
			proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
			c := recipestest.Client(t, proxy)
			d := newDurable(t, c, 2)
			takes(t, d, "held")
			waiting := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			full := newNamed(t, c, "full", 0)
			go func() { waiting <- durableErr(full.Acquire(ctx, "m1")) }()
			soon(t, "somebody waits", func() bool { return full.Waiting() == 1 })
			proxy.Cut(symptom)
			errMine := errors.New("mine")
			for name, call := range map[string]func(ctx context.Context, d *semaphore.DurableSemaphore) error{
				"SetLimit": func(ctx context.Context, d *semaphore.DurableSemaphore) error { return d.SetLimit(ctx, 2) },
				"Acquire": func(ctx context.Context, d *semaphore.DurableSemaphore) error {
					return durableErr(d.Acquire(ctx, "m2"))
				},
				"TryAcquire": func(ctx context.Context, d *semaphore.DurableSemaphore) error {
					return durableErr(d.TryAcquire(ctx, "m2"))
				},
				"Held":    func(ctx context.Context, d *semaphore.DurableSemaphore) error { return durableErr(d.Held(ctx, "held")) },
				"Remove":  func(ctx context.Context, d *semaphore.DurableSemaphore) error { return d.Remove(ctx, "held", "") },
				"Inspect": func(ctx context.Context, d *semaphore.DurableSemaphore) error { return durableErr(d.Inspect(ctx)) },
			} {
				for _, of := range []*semaphore.DurableSemaphore{d, semaphore.Durable(c, "x")} { // one that knows what there was, and one that doesn't
					ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errMine)
					start := time.Now()
					err := call(ctx, of)
					cancel()
					if took := time.Since(start); took > patience+10*promised {
						t.Errorf("%s took %v", name, took)
					}
					if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errMine) {
						t.Errorf("%s = %v, want its ctx's error and cause", name, err)
					}
					if errors.Is(err, session.ErrUnavailable) == errors.Is(err, session.ErrUnknownOutcome) {
						t.Errorf("%s = %v, want to be told that etcd is away, or that the outcome is unknown", name, err)
					}
					if of != d && !errors.Is(err, session.ErrUnavailable) {
						t.Errorf("%s = %v: it has sent no write", name, err)
					}
					soon(t, "nothing runs", of.Idle)
				}
			}
			cancel()
			if err := <-waiting; !errors.Is(err, context.Canceled) {
				t.Errorf("who waited: %v", err)
			}
			proxy.Mend()
			if s := inspects(t, d); s.Limit != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func newNamed(t *testing.T, c *clientv3.Client, name string, limit int) *semaphore.DurableSemaphore {
	t.Helper()
	d := semaphore.Durable(c, name)
	if err := d.SetLimit(t.Context(), limit); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestADurableCallGivesUpByItself after 5 s, without a ctx that ends.
func TestADurableCallGivesUpByItself(t *testing.T) {
	t.Parallel()
	proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
	c := recipestest.Client(t, proxy)
	d := newDurable(t, c, 2)
	proxy.Cut(recipestest.Reset)
	start := time.Now()
	wrote := make(chan error, 1)
	go func() { wrote <- durableErr(d.TryAcquire(context.Background(), "m1")) }()
	_, err := semaphore.Durable(c, "x").Inspect(context.Background())
	if !errors.Is(err, session.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Inspect = %v, want ErrUnavailable, and no deadline of the caller's", err)
	}
	if err := <-wrote; !errors.Is(err, session.ErrUnknownOutcome) || errors.Is(err, session.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TryAcquire = %v, want ErrUnknownOutcome, and no ErrUnavailable, which says that nothing was acquired", err)
	}
	if took := time.Since(start); took > 50*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestHoldersSurviveARestart: of their process, which is another DurableSemaphore, and of etcd; and so do those who wait.
func TestHoldersSurviveARestart(t *testing.T) {
	t.Parallel()
	server := recipestest.NewServer(t)
	c := server.Client()
	d := newDurable(t, c, 1)
	p := takes(t, d, "m1", semaphore.Labels(map[string]string{"why": "kernel"}))
	got := make(chan error, 1)
	requests := recipestest.Count(c)
	go func() { got <- durableErr(d.Acquire(t.Context(), "m2")) }()
	soon(t, "it watches", func() bool { return requests.Watches.Load() == 1 })
	server.Stop()
	server.Start()
	after := semaphore.Durable(server.Client(), "x")
	held, err := after.Held(t.Context(), "m1")
	if err != nil || held.Token != p.Token || held.Slot != p.Slot || held.Labels["why"] != "kernel" || !held.At.Equal(p.At) {
		t.Errorf("Held = %+v, %v, want %+v", held, err, p)
	}
	gives(t, after, held)
	if err := <-got; err != nil {
		t.Errorf("who waited: %v", err)
	}
	if s := inspects(t, after); holderIDs(s) != "m2" {
		t.Errorf("%q hold, want m2", holderIDs(s))
	}
}

// TestAFullEtcdRefusesAndLosesNothing: neither a grant nor a release is possible, both are refused at once, and go on once there is space.
func TestAFullEtcdRefusesAndLosesNothing(t *testing.T) {
	t.Parallel()
	server := recipestest.NewServer(t, recipestest.Quota(4<<20))
	c := server.Client()
	d := newDurable(t, c, 2)
	p := takes(t, d, "m1")
	server.Fill()
	for what, err := range map[string]error{
		"Acquire": durableErr(d.Acquire(t.Context(), "m2")), "Release": d.Release(t.Context(), "m1", p.Token),
		"Remove": d.Remove(t.Context(), "m1", ""), "SetLimit": d.SetLimit(t.Context(), 5),
	} {
		if !errors.Is(err, rpctypes.ErrNoSpace) || errors.Is(err, session.ErrUnknownOutcome) || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s = %v, want etcd's own refusal", what, err)
		}
	}
	if held, err := d.Held(t.Context(), "m1"); err != nil || held.Token != p.Token {
		t.Errorf("Held = %+v, %v, want %+v", held, err, p)
	}
	again, err := d.Acquire(t.Context(), "m1")
	if err != nil || again.Token != p.Token {
		t.Errorf("Acquire again = %+v, %v, want %+v", again, err, p)
	}
	freeSpace(t, c)
	takes(t, d, "m2")
	gives(t, d, p)
}

// freeSpace deletes what filled etcd, and ends the alarm.
func freeSpace(t *testing.T, c *clientv3.Client) {
	t.Helper()
	if _, err := c.Delete(t.Context(), "fill/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	recipestest.Compact(t, c)
	if _, err := c.Defragment(t.Context(), c.Endpoints()[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
}

// TestTheLargestRecordFits: as many holders as there can be, with the longest ids and labels, and those that were released.
func TestTheLargestRecordFits(t *testing.T) {
	t.Parallel()
	c := recipestest.Client(t)
	d := newDurable(t, c, semaphore.MaxDurable)
	fill := func(round int) {
		t.Helper()
		errs := make(chan error)
		for i := range semaphore.MaxDurable {
			go func() {
				id := fmt.Sprintf("%0126d%02d", i, round)
				labels := semaphore.Labels(map[string]string{"label": strings.Repeat("x", 1024-len(`{"label":""}`))})
				errs <- durableErr(d.Acquire(t.Context(), id, labels))
			}()
		}
		for range semaphore.MaxDurable {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	}
	fill(0)
	errs := make(chan error)
	s := inspects(t, d)
	for _, p := range s.Holders {
		go func() { errs <- d.Remove(t.Context(), p.ID, strings.Repeat("r", 256)) }()
	}
	for range s.Holders {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	fill(1)
	s = inspects(t, d)
	resp, err := c.Get(t.Context(), durableKey)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(resp.Kvs[0].Value); n > 1400<<10 || len(s.Holders) != semaphore.MaxDurable || len(s.Released) != 256 {
		t.Errorf("%d bytes with %d holders and %d that were released: want 1,400 KiB at most, %d, and 256", n, len(s.Holders), len(s.Released), semaphore.MaxDurable)
	}
	if _, err := d.TryAcquire(t.Context(), "one more"); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("one more: %v", err)
	}
}

// TestTheReleasedAreForgottenAfterADay, by the wall clock in the record and that of who writes it.
func TestTheReleasedAreForgottenAfterADay(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	old := takes(t, d, "m1")
	gives(t, d, old)
	young := takes(t, d, "m1")
	gives(t, d, young)
	var record map[string]any
	resp, err := c.Get(t.Context(), durableKey)
	if err != nil || json.Unmarshal(resp.Kvs[0].Value, &record) != nil {
		t.Fatal(err)
	}
	for i, ago := range []time.Duration{24*time.Hour + time.Minute, 24*time.Hour - time.Minute} {
		record["released"].([]any)[i].(map[string]any)["at"] = time.Now().Add(-ago)
	}
	value, _ := json.Marshal(record)
	if _, err := c.Put(t.Context(), durableKey, string(value)); err != nil {
		t.Fatal(err)
	}
	gives(t, d, takes(t, d, "m2")) // writes
	gives(t, d, young)
	if err := d.Release(t.Context(), "m1", old.Token); !errors.Is(err, semaphore.ErrNotHeld) {
		t.Errorf("Release of what ended over a day ago = %v, want ErrNotHeld", err)
	}
}

// TestAForeignRecordIsLeftAsItIs.
func TestAForeignRecordIsLeftAsItIs(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	for _, foreign := range []string{"what is this?", `{"limit":1001}`, `{"limit":-1}`, `{"limit":1,"groups":{"rack":0}}`} {
		leavesAlone(t, c, d, foreign)
	}
}

func leavesAlone(t *testing.T, c *clientv3.Client, d *semaphore.DurableSemaphore, foreign string) {
	t.Helper()
	if _, err := c.Put(t.Context(), durableKey, foreign); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"Acquire": durableErr(d.Acquire(t.Context(), "m1")), "Held": durableErr(d.Held(t.Context(), "m1")), "SetLimit": d.SetLimit(t.Context(), 1),
		"Release": d.Release(t.Context(), "m1", fencing.FromRevision(7)),
	} {
		if err == nil || !strings.Contains(err.Error(), durableKey) || !strings.Contains(err.Error(), "can't be read") {
			t.Errorf("%s with %s = %v", what, foreign, err)
		}
	}
	if resp, err := c.Get(t.Context(), durableKey); err != nil || string(resp.Kvs[0].Value) != foreign {
		t.Errorf("it was changed: %v, %v", resp, err)
	}
}

// TestAClosedClientIsNotWaitedFor.
func TestAClosedClientIsNotWaitedFor(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Acquire(context.Background(), "m1"); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Acquire = %v", err)
	}
}

// TestADurableReleaseOutlivesItsContext: nothing else would give the permit back. It takes 5 s at most.
func TestADurableReleaseOutlivesItsContext(t *testing.T) {
	t.Parallel()
	proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
	d := newDurable(t, recipestest.Client(t, proxy), 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	first, second := takes(t, d, "m1"), takes(t, d, "m2")
	if err := d.Release(ctx, "m1", first.Token); err != nil {
		t.Errorf("Release = %v", err)
	}
	proxy.Cut(recipestest.Reset)
	start := time.Now()
	err := d.Release(ctx, "m2", second.Token)
	if took := time.Since(start); took > 50*time.Second {
		t.Errorf("Release took %v", took)
	}
	if errors.Is(err, session.ErrUnavailable) == errors.Is(err, session.ErrUnknownOutcome) {
		t.Errorf("Release = %v, want to be told that etcd is away, or that the outcome is unknown", err)
	}
	proxy.Mend()
	if s := inspects(t, d); len(s.Holders) > 1 {
		t.Errorf("%+v, want m2 at most", s)
	}
}
