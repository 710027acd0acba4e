package semaphore

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// durableSpread is within which time those who wait try, when there is room.
const durableSpread = 25 * time.Millisecond

// durableFollower has one watch for all who wait, as long as somebody does.
type durableFollower struct {
	observe func(ctx context.Context, tell func(now *durableSeen, err error) (more bool))

	mu  sync.Mutex
	now *durableWatch
	who int // how many wait
}

// durableWatch is one life of the watch.
type durableWatch struct {
	cancel context.CancelFunc

	mu      sync.Mutex
	last    *durableSeen // nil until etcd has told
	delay   time.Duration
	err     error
	changed chan struct{} // closed with the next change
}

// enter announces somebody who waits.
func (f *durableFollower) enter() *durableTurn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.who++; f.who == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		f.now = &durableWatch{cancel: cancel, changed: make(chan struct{})}
		go f.observe(ctx, f.now.tell)
	}
	return &durableTurn{f, f.now}
}

// leave ends the watch with the last one that waits.
func (t *durableTurn) leave() {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	if t.f.who--; t.f.who == 0 {
		t.f.now.cancel()
	}
}

func (f *durableWatch) tell(now *durableSeen, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.err, f.delay = now, err, retry.Jitter(context.Background(), durableSpread)
	close(f.changed)
	f.changed = make(chan struct{})
	return err == nil
}

func (f *durableWatch) look() (last *durableSeen, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.changed, f.err
}

// pause is how long those of this process wait before they try, all as long: so they are sent together.
func (f *durableWatch) pause(now *durableSeen) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != now {
		return 0
	}
	return f.delay
}

// observe tells of the record as it is, and after each change, until ctx ends. The combiner hears of it as well.
func (d *DurableSemaphore) observe(ctx context.Context, tell func(now *durableSeen, err error) bool) {
	for kvs, err := range line.Observe(ctx, d.client, d.key) {
		now, err := d.told(kvs, err)
		if err == nil {
			d.combiner.offer(now)
		}
		if !tell(now, err) {
			return
		}
	}
}

// told is the record among all keys that begin with its key.
func (d *DurableSemaphore) told(kvs []*mvccpb.KeyValue, err error) (*durableSeen, error) {
	if err != nil {
		return nil, err
	}
	for _, kv := range kvs {
		if string(kv.Key) == d.key {
			return readDurable(kv)
		}
	}
	return &durableSeen{}, nil
}
