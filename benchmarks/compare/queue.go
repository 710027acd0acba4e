package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// queue are participants who wait, each in a goroutine of its own, while another has it.
type queue struct {
	turns
	begin  time.Time
	over   atomic.Bool
	wait   sync.WaitGroup
	cancel context.CancelFunc

	failed struct {
		sync.Mutex
		errs []error
	}
}

// waitFor has all wait at once, and again after each turn. Somebody else is inside.
func waitFor(ctx context.Context, all []acquire) *queue {
	q := &queue{begin: time.Now()}
	q.enter(0)
	ctx, q.cancel = context.WithCancel(ctx)
	for i, acquire := range all {
		q.wait.Go(func() {
			for !q.over.Load() {
				if err := q.take(ctx, 1+i, acquire); err != nil {
					q.fail(ctx, err)
					return
				}
			}
		})
	}
	return q
}

// last has everybody go after the turn for which they wait.
func (q *queue) last() { q.over.Store(true) }

// stop sends away who still waits.
func (q *queue) stop() {
	q.last()
	q.cancel()
	q.wait.Wait()
}

// fail notes that an acquisition failed though nobody called it off.
func (q *queue) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	q.failed.Lock()
	defer q.failed.Unlock()
	q.failed.errs = append(q.failed.errs, err)
}

func (q *queue) refusals() int {
	q.failed.Lock()
	defer q.failed.Unlock()
	return len(q.failed.errs)
}

// refusal is the first of them.
func (q *queue) refusal() error {
	q.failed.Lock()
	defer q.failed.Unlock()
	if len(q.failed.errs) == 0 {
		return nil
	}
	return q.failed.errs[0]
}
