package durable

import (
	"context"
	"sync"
	"time"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// spread is within which time those who wait try, when there is room.
const spread = 25 * time.Millisecond

// follower has one watch for all who wait, as long as somebody does.
type follower struct {
	mu  sync.Mutex
	now *turn
	who int // how many wait
}

// turn is one life of the watch, seen by those who wait.
type turn struct {
	cancel context.CancelFunc

	mu      sync.Mutex
	last    *Seen // nil until etcd has told
	delay   time.Duration
	err     error
	changed chan struct{} // closed with the next change
}

// enter announces somebody who waits.
func (s *Semaphore) enter() *turn {
	f := &s.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.who++; f.who == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		t := &turn{cancel: cancel, changed: make(chan struct{})}
		go s.Watch(ctx, func(now *Seen, err error) bool {
			if err == nil {
				s.combiner.offer(now)
			}
			t.tell(now, err)
			return true
		})
		f.now = t
	}
	return f.now
}

// leave ends the watch with the last one that waits.
func (s *Semaphore) leave(t *turn) {
	s.follower.mu.Lock()
	defer s.follower.mu.Unlock()
	if s.follower.who--; s.follower.who == 0 {
		t.cancel()
	}
}

func (t *turn) tell(now *Seen, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.err, t.delay = now, err, retry.Jitter(context.Background(), spread)
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *turn) look() (last *Seen, delay time.Duration, changed <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last, t.delay, t.changed, t.err
}

// wait returns when the record has changed since rev and has room for id, or has it as a holder, or is gone.
func (t *turn) wait(ctx context.Context, rev int64, id string, labels map[string]string) error {
	for {
		now, delay, changed, err := t.look()
		if err != nil {
			return err
		}
		if now != nil && (now.Record == nil || now.Rev > rev && now.Record.admits(id, labels)) {
			// All who wait learn of it at one time; those of this process wait as long and are sent together. Those who are slower see
			// that there is no room any more, and send nothing.
			if retry.Sleep(ctx, delay) != nil {
				return retry.Why(ctx)
			}
			if again, _, _, _ := t.look(); again == now {
				return nil
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return retry.Why(ctx)
		}
	}
}
