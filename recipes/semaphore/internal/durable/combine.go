package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

// grace is how long a call whose ctx has ended waits for the answer to a write that is on its way: without it nobody would know.
const grace = 150 * time.Millisecond

func (r *Request) alone() bool { return len(r.Cmps) > 0 || len(r.Ops) > 0 || r.limits }

// combiner sends what many callers want as one transaction after the other: while one is on its way, the next ones gather.
//
// Its goroutine lives as long as somebody waits for an answer.
type combiner struct {
	store store

	mu      sync.Mutex
	known   *Seen      // the last state that was seen, if any: a guess, until etcd has confirmed it
	pending []*Request // all without an answer, those that came first at the front
	running bool
	cancel  context.CancelFunc // of the round
}

// ask waits for the answer to r, or for the end of ctx.
func (c *combiner) ask(ctx context.Context, r *Request) error {
	r.done = make(chan struct{})
	c.mu.Lock()
	c.pending = append(c.pending, r)
	if !c.running {
		c.running = true
		go c.run()
	}
	c.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	return c.leave(ctx, r)
}

// leave takes a request back, as far as that is possible.
func (c *combiner) leave(ctx context.Context, r *Request) error {
	if c.flying(r) {
		wait := time.NewTimer(grace)
		defer wait.Stop()
		select {
		case <-r.done:
		case <-wait.C:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.pending, r)
	if i < 0 {
		return r.err // it came after all
	}
	c.pending = slices.Delete(c.pending, i, i+1)
	if len(c.pending) == 0 && c.cancel != nil {
		c.cancel()
	}
	why := retry.Why(ctx)
	switch {
	case (r.flying || r.lostAt != nil) && errors.Is(why, session.ErrUnavailable):
		return fmt.Errorf("%w: %v", session.ErrUnknownOutcome, why) //nolint:errorlint // ErrUnavailable says that nothing was changed
	case r.flying || r.lostAt != nil:
		return fmt.Errorf("%w: %w", session.ErrUnknownOutcome, why)
	case r.rivals && errors.Is(why, session.ErrUnavailable): // a limit of our own, and etcd has answered
		return errRivals
	case r.rivals && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", why, errRivals)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return retry.Answer(ctx, ctx.Err())
	}
	return why
}

func (c *combiner) flying(r *Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.flying
}

// run sends one batch after the other, until nobody waits any more.
func (c *combiner) run() {
	pauses := retry.Pauses(context.Background())
	conflicts := 0
	for {
		ctx, batch := c.take()
		if batch == nil {
			return
		}
		err := c.round(ctx, batch)
		switch {
		case err == nil:
			conflicts = 0
			pauses.Reset()
			continue
		case ctx.Err() != nil: // nobody waits for it
			continue
		case errors.Is(err, errConflict):
			if conflicts++; conflicts > 1 { // the first time the answer has told what it is now
				c.forget() // by the time of the next attempt it is something else
				_ = retry.Sleep(ctx, retry.Jitter(ctx, rivalry(conflicts)))
			}
			continue
		case !retry.Temporary(err):
			continue // those whom it concerns know
		}
		_ = retry.Sleep(ctx, pauses.NextBackOff())
	}
}

// rivalry is how long to let others go first, at most. Each conflict is somebody else's success, so it stays short: etcd is there, and
// calls have 5 s.
func rivalry(conflicts int) time.Duration {
	return min(4*time.Millisecond<<min(conflicts, 5), 64*time.Millisecond)
}

// take is what goes together next: those who have waited longest, up to the first that goes alone. Nil if nobody waits: then the goroutine ends.
func (c *combiner) take() (context.Context, []*Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
	if len(c.pending) == 0 {
		c.running, c.cancel = false, nil
		return nil, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	n := slices.IndexFunc(c.pending, (*Request).alone)
	switch {
	case n < 0:
		n = len(c.pending)
	case n == 0:
		n = 1
	}
	batch := slices.Clone(c.pending[:n])
	slices.SortStableFunc(batch, func(a, b *Request) int { return a.rank() - b.rank() })
	return ctx, batch
}

// rank has what is freed be free for those who want it, and no slot be granted and freed by one write, which would be two holders with one token.
func (r *Request) rank() int {
	if r.frees {
		return 0
	}
	return 1
}

// answer gives some of the pending requests their answers: what judge said of them, and of which record.
func (c *combiner) answer(now *Seen, verdicts []verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range verdicts {
		i := slices.Index(c.pending, v.request)
		if i < 0 {
			continue // it has left
		}
		c.pending = slices.Delete(c.pending, i, i+1)
		v.request.result, v.request.err = now, v.err
		close(v.request.done)
	}
}

// offer tells of a state that somebody has seen.
func (c *combiner) offer(now *Seen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Record != nil && (c.known == nil || now.Rev > c.known.Rev) {
		c.known = now
	}
}

func (c *combiner) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = nil
}

func (c *combiner) guess() *Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// confirmed notes a state that etcd has just told.
func (c *combiner) confirmed(now *Seen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known = now; now.Record == nil {
		c.known = nil
	}
}
