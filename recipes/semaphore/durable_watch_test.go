package semaphore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
)

// TestADurableWatchTellsWhatHappens: from before there is a limit to the end, through a compaction and a restart.
func TestADurableWatchTellsWhatHappens(t *testing.T) {
	server := recipestest.NewServer(t)
	c := server.Client()
	d := semaphore.Durable(c, "x")
	ctx, cancel := context.WithCancel(t.Context())
	states, ended := make(chan semaphore.DurableState), make(chan error, 1)
	go func() {
		for state, err := range d.Watch(ctx) {
			if err != nil {
				ended <- err
				return
			}
			states <- state
		}
	}()
	next := func(what string, so func(semaphore.DurableState) bool) {
		t.Helper()
		select {
		case state := <-states:
			if !so(state) || state.Name != "x" {
				t.Errorf("%s: got %+v", what, state)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: it was never told", what)
		}
	}
	next("no limit", func(s semaphore.DurableState) bool { return s.Revision == 0 && s.Limit == 0 })
	if err := d.SetLimit(t.Context(), 2, semaphore.Group("rack", 1)); err != nil {
		t.Fatal(err)
	}
	next("a limit", func(s semaphore.DurableState) bool { return s.Revision > 0 && s.Limit == 2 && s.Groups["rack"] == 1 })
	p := takes(t, d, "m1", semaphore.Labels(map[string]string{"rack": "a"}))
	next("m1 holds", func(s semaphore.DurableState) bool {
		return len(s.Holders) == 1 && s.Holders[0].Token == p.Token && s.Holders[0].Labels["rack"] == "a" && s.Holders[0].Resource == "semaphore/x#0"
	})
	recipestest.Compact(t, c)
	server.Stop()
	server.Start()
	gives(t, d, p)
	next("nobody holds", func(s semaphore.DurableState) bool {
		return len(s.Holders) == 0 && len(s.Released) == 1 && s.Released[0].ID == "m1" && s.Released[0].Token == p.Token
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// TestWhoWaitsShareOneWatch, and leave nothing running.
func TestWhoWaitsShareOneWatch(t *testing.T) {
	const crowd = 20
	c := recipestest.Client(t)
	d := newDurable(t, c, 0)
	requests := recipestest.Count(c)
	got := make(chan error)
	for _, id := range ids(crowd) {
		go func() { got <- durableErr(d.Acquire(t.Context(), id)) }()
	}
	soon(t, "all wait", func() bool { return d.Waiting() == crowd })
	soon(t, "one watches", func() bool { return requests.Watches.Load() == 1 })
	if err := d.SetLimit(t.Context(), crowd); err != nil {
		t.Fatal(err)
	}
	for range crowd {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	if n := requests.Watches.Load(); n != 1 {
		t.Errorf("%d watches, want 1", n)
	}
	soon(t, "nothing runs", func() bool { return d.Idle() && d.Waiting() == 0 })
}

// TestAWaitEndsWithTheRecord: when an operator deletes it, there is nothing to wait for.
func TestAWaitEndsWithTheRecord(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 0)
	got := make(chan error, 1)
	go func() { got <- durableErr(d.Acquire(t.Context(), "m1")) }()
	soon(t, "it waits", func() bool { return d.Waiting() == 1 })
	recipestest.Delete(t, c, durableKey)
	if err := <-got; !errors.Is(err, semaphore.ErrNoLimit) {
		t.Errorf("Acquire = %v, want ErrNoLimit", err)
	}
}

// TestWhoWaitsHearsThatItHolds: the same id acquires in two processes, one of them gets the permit, and so does the other: the same.
func TestWhoWaitsHearsThatItHolds(t *testing.T) {
	c := recipestest.Client(t)
	first := newDurable(t, c, 1)
	p := takes(t, first, "m1")
	got := make(chan semaphore.DurablePermit, 2)
	for range 2 {
		d := semaphore.Durable(c, "x")
		go func() {
			p, err := d.Acquire(t.Context(), "m2")
			if err != nil {
				t.Error(err)
			}
			got <- p
		}()
		soon(t, "it waits", func() bool { return d.Waiting() == 1 })
	}
	gives(t, first, p)
	a, b := <-got, <-got
	if a.Token != b.Token || a.ID != "m2" || b.ID != "m2" {
		t.Errorf("%+v and %+v, want the same", a, b)
	}
}

// durableWatches remembers the contexts of a client's watches.
type durableWatches struct {
	clientv3.Watcher
	mu  sync.Mutex
	all []context.Context
}

func (c *durableWatches) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, ctx)
	return c.Watcher.Watch(ctx, key, opts...)
}

// running is how many of them have not ended.
func (c *durableWatches) running() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ctx := range c.all {
		if ctx.Err() == nil {
			n++
		}
	}
	return n
}

// TestTheWatchEndsWithTheLastThatWaits, and another one begins with the next.
func TestTheWatchEndsWithTheLastThatWaits(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 0)
	watches := &durableWatches{Watcher: c.Watcher}
	c.Watcher = watches
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- durableErr(d.Acquire(ctx, "m1")) }()
		soon(t, "it watches", func() bool { return watches.running() == 1 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Acquire = %v", err)
		}
		soon(t, "nobody watches", func() bool { return watches.running() == 0 })
	}
	if n := len(watches.all); n != 2 {
		t.Errorf("%d watches, want 2", n)
	}
}
