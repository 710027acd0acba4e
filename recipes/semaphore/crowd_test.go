package semaphore_test

import (
	"context"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
)

// countedEvents counts what the watches of a client are told.
type countedEvents struct {
	clientv3.Watcher
	n atomic.Int64
}

func (c *countedEvents) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	from, to := c.Watcher.Watch(ctx, key, opts...), make(chan clientv3.WatchResponse)
	go func() {
		defer close(to)
		for resp := range from {
			c.n.Add(int64(len(resp.Events)))
			select {
			case to <- resp:
			case <-ctx.Done():
			}
		}
	}()
	return to
}

// TestAGrantWakesOneWaiter: of a thousand. One takes the permit, the next one looks at the permits, and nobody else does or hears anything.
func TestAGrantWakesOneWaiter(t *testing.T) {
	t.Parallel()
	crowd := 1000
	if raceDetector {
		crowd = 200 // the server is in this process
	}
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	limit(t, c, 1)
	held := acquire(t, open(t, c), 1)
	of := recipestest.Namespace(t, p)
	events := &countedEvents{Watcher: of.Watcher}
	of.Watcher = events
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := open(t, of)
	r := recipestest.Count(of)
	got := make(chan *semaphore.Permit, crowd)
	for i := range crowd {
		go func() {
			if p, err := semaphore.Acquire(ctx, s, "x", 1); err == nil {
				got <- p
			}
		}()
		if i%100 == 99 { // few at one time
			waiting(t, c, i+1)
		}
	}
	eventually(t, func() (string, bool) { return "not all have looked", r.Txns.Load() == int64(2*crowd) })
	if w := r.Watches.Load(); w != int64(2*crowd) {
		t.Errorf("%d watches of %d waiters, want 2 each", w, crowd)
	}
	for releases := range int64(2) { // of the crowd's own, in a round
		txns, gets, watches, told := r.Txns.Load(), r.Gets.Load(), r.Watches.Load(), events.n.Load()
		release(t, held)
		held = <-got
		// One Txn takes the permit and one looks at what it has got, after a while; another waiter looks at the permits. Two watches are for these looks.
		want := txns + 3 + releases
		eventually(t, func() (string, bool) { return "a look is missing", r.Txns.Load() >= want })
		if r.Txns.Load() != want || r.Gets.Load() != gets || r.Watches.Load() != watches+2 {
			t.Errorf("a grant took %d Txns, %d Gets, %d watches; want 3, 0, 2", r.Txns.Load()-txns-releases, r.Gets.Load()-gets, r.Watches.Load()-watches)
		}
		// The release, to the one; its own mark, to the next. The one may hear of its own two writes before it has closed its watches. When a hold ends
		// that was one's own, its watch may hear of that.
		if n := events.n.Load() - told; n < 2 || n > 5 {
			t.Errorf("%d events came to %d waiters, want 2 to 5", n, crowd)
		}
		if st := inspect(t, c); len(st.Waiters) != crowd-1-int(releases) || st.Taken() != 1 {
			t.Errorf("%d wait, %d are taken", len(st.Waiters), st.Taken())
		}
	}
	cancel()
	release(t, held)
}
