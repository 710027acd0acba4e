package keep

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Do runs work under the hold and releases it when work has returned, whatever the hold's fate: the lease is renewed that
// long, and a lost one is not revoked before. The work's context ends with the hold and with ctx.
//
// Work does not start under a hold that has ended. The recipe has begun (Begin) before and ends after, so that Close waits without
// a gap from the acquisition to the release.
func (h *Hold) Do(ctx context.Context, work func(context.Context) error) (err error) {
	wctx, cancel := h.within(ctx)
	leave := h.join()
	defer func() { // also when work panics
		lost := h.lost()
		cancel()
		released := h.done(ctx)
		leave()
		err = outcome(err, lost, released)
	}()
	if err := h.Err(); err != nil {
		return err
	}
	return work(wctx)
}

func (h *Hold) lost() error {
	if err := h.Err(); errors.Is(err, ErrLost) {
		return err
	}
	return nil
}

// outcome is what Do returns: the loss is never hidden, neither by work that returned nil nor by an error of work's.
func outcome(work, lost, released error) error {
	if lost == nil && errors.Is(released, ErrLost) {
		lost = released
	}
	switch {
	case lost != nil && work != nil && !errors.Is(work, ErrLost):
		return fmt.Errorf("%w (the work returned: %w)", lost, work)
	case work != nil:
		return work
	case lost != nil:
		return lost
	default:
		return released
	}
}

// within is the hold's context, ended by ctx as well.
func (h *Hold) within(ctx context.Context) (context.Context, context.CancelFunc) {
	w, cancel := context.WithCancelCause(h.ctx)
	stop := follow(ctx, cancel)
	return bounded{w, ctx}, func() {
		stop()
		cancel(nil)
	}
}

// bounded has the deadline of another context, which ends it: only one of the two is to say why it ended.
type bounded struct {
	context.Context
	by context.Context
}

func (b bounded) Deadline() (time.Time, bool) { return b.by.Deadline() }

// Err is that of whichever ended it.
func (b bounded) Err() error {
	if err := b.Context.Err(); err == nil || b.by.Err() == nil || !errors.Is(context.Cause(b.Context), context.Cause(b.by)) {
		return err
	}
	return b.by.Err()
}

// join counts work in, for those who wait for its end: Close, and the revocation of the lease.
func (h *Hold) join() (leave func()) {
	l, k := h.lease, h.lease.keeper
	h.mu.Lock()
	h.ending.joined = true
	h.mu.Unlock()
	k.mu.Lock()
	k.busy.enter()
	k.mu.Unlock()
	l.mu.Lock()
	l.work.enter()
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		l.work.leave()
		l.mu.Unlock()
		k.leave()
	}
}
