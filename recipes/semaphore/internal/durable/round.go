package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

// A verdict is what a record says to a request.
type verdict struct {
	request *Request
	changed bool
	err     error
}

// judge makes the changes of a batch, one after the other, in a copy of what is there.
func (c *combiner) judge(base *Seen, batch []*Request) (next *Record, verdicts []verdict, changed bool) {
	if next = (&Record{}); base.Record != nil {
		next = base.Record.clone()
	}
	for _, r := range batch {
		v := verdict{request: r}
		switch {
		case base.leased:
			v.err = c.store.names.ErrLeased
		case base.Record == nil && !r.limits:
			v.err = c.store.names.ErrNoLimit
		default:
			lost := c.lost(r, base)
			v.changed, v.err = r.change(next, lost)
			if lost && v.changed {
				c.set(func(r *Request) { r.lostAt = nil }, r) // what it is to change has not been changed
			}
		}
		changed = changed || v.changed
		verdicts = append(verdicts, v)
	}
	return next, verdicts, changed
}

// round answers a batch, or some of it, with one write at most.
func (c *combiner) round(ctx context.Context, batch []*Request) error {
	base, certain := c.guess(), false
	if slices.ContainsFunc(batch, func(r *Request) bool { return r.fresh }) {
		base = nil
	}
	for {
		if base == nil {
			now, err := c.store.read(ctx)
			if err != nil {
				c.set(func(r *Request) { r.rivals = false }, batch...)
				return c.failed(err, refusals(batch, err))
			}
			base, certain = now, true
			c.confirmed(now)
		}
		if batch = c.board(batch); len(batch) == 0 {
			return nil
		}
		next, verdicts, changed := c.judge(base, batch)
		c.stay(verdicts)
		switch {
		case changed:
			return c.write(ctx, base, next, verdicts)
		case certain:
			c.answer(base, verdicts)
			return nil
		}
		base = nil // an answer that is no write needs a look
	}
}

// board is the part of a batch that still waits. From here on it counts as on its way: who leaves now can't be told that nothing was changed.
func (c *combiner) board(batch []*Request) []*Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch = slices.DeleteFunc(slices.Clone(batch), func(r *Request) bool { return !slices.Contains(c.pending, r) })
	for _, r := range batch {
		r.flying = true
	}
	return batch
}

// stay says of those for whom nothing is to be written that they are not on their way.
func (c *combiner) stay(verdicts []verdict) {
	for _, v := range verdicts {
		if !v.changed {
			c.set(func(r *Request) { r.flying = false }, v.request)
		}
	}
}

// write is the only place that changes the record, for those who are on board. It compares that the record is still base.
func (c *combiner) write(ctx context.Context, base *Seen, next *Record, verdicts []verdict) error {
	var changing []*Request
	for _, v := range verdicts {
		if v.changed {
			changing = append(changing, v.request)
		}
	}
	rev, now, err := c.store.swap(ctx, base, next, changing[0])
	unanswered := err != nil && !errors.Is(err, errConflict) && !retry.NotApplied(err)
	c.set(func(r *Request) {
		r.rivals = errors.Is(err, errConflict)
		if r.flying = false; unanswered {
			r.lostAt = &base.Rev
		}
	}, changing...)
	switch {
	case err == nil:
		after := next.at(rev)
		c.confirmed(after)
		c.answer(after, verdicts)
		return nil
	case errors.Is(err, errConflict):
		c.confirmed(now)
		return err
	}
	return c.failed(err, refusals(changing, err))
}

// failed answers those whom an error concerns, unless it is worth another attempt. Of whom an earlier write is still out, it is not known.
func (c *combiner) failed(err error, concerned []verdict) error {
	if retry.Temporary(err) {
		return err
	}
	for i, v := range concerned {
		c.set(func(r *Request) {
			if r.lostAt != nil {
				concerned[i].err = fmt.Errorf("%w: %w", session.ErrUnknownOutcome, err)
			}
		}, v.request)
	}
	c.answer(nil, concerned)
	return err
}

// set changes what the combiner knows of some requests.
func (c *combiner) set(what func(r *Request), requests ...*Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range requests {
		what(r)
	}
}

func refusals(batch []*Request, err error) (verdicts []verdict) {
	for _, r := range batch {
		verdicts = append(verdicts, verdict{request: r, err: err})
	}
	return verdicts
}

// lost reports whether a write with r got no answer, and base shows that it was applied or never will be: the record is another one since.
func (c *combiner) lost(r *Request, base *Seen) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.lostAt != nil && *r.lostAt != base.Rev
}
