package semaphore

import (
	"context"
	"errors"
	"fmt"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/session"
)

// Release gives back the permit that id holds with that token, and never another: neither a later one of the same id nor anybody else's.
//
// Twice is the same as once: who was released is remembered for a day (by the wall clock of whoever writes the record), but no more than the last 256
// of them. A permit that was taken away by Remove gives an error that Is session.ErrLost, and one that is not known, or not any more, ErrNotHeld.
//
// It is bounded by ctx as all calls are: with one that has ended nothing is sent.
func (d *DurableSemaphore) Release(ctx context.Context, id string, token fencing.Token, opts ...DurableOption) error {
	const act = "release"
	o := durableOpts(opts)
	err := errors.Join(checkHolder(id), o.check(false, false))
	if token.IsZero() {
		err = errors.Join(err, errors.New("the token is zero: Acquire and Held tell the permit's"))
	}
	if err != nil {
		return d.refuse(ctx, act, err)
	}
	held := false // it was seen
	return d.call(ctx, act, &durableRequest{frees: true, cmps: o.cmps, ops: o.ops, change: func(r *durableRecord, _ bool) (bool, error) {
		if r.end(id, token, false, "") {
			held = true
			return true, nil
		}
		switch e := r.ended(id, token); {
		case e != nil && e.Removed:
			return false, fmt.Errorf("%q: %w: it was removed: %s", id, session.ErrLost, e.Reason)
		case e == nil && !held:
			return false, fmt.Errorf("%q with token %v: %w", id, token, ErrNotHeld)
		}
		return false, nil
	}})
}

// Remove takes the permit of id away, whatever its token: for operators who know that its holder never comes back. The reason is kept for people to
// read, 256 bytes of it as JSON; the holder's Release says it. If id holds nothing, the error Is ErrNotHeld.
//
// In both cases the record is written, so that no acquisition by id that was sent before, and got no answer, is granted later.
func (d *DurableSemaphore) Remove(ctx context.Context, id, reason string, opts ...DurableOption) error {
	const act = "remove"
	o := durableOpts(opts)
	err := errors.Join(checkHolder(id), o.check(false, false))
	if n := len(encodeJSON(reason)) - 2; n > mostReason {
		err = errors.Join(err, refuseDurable("the reason", n, mostReason))
	}
	if err != nil {
		return d.refuse(ctx, act, err)
	}
	var token fencing.Token // of the permit that was seen first: the call is about no other
	return d.call(ctx, act, &durableRequest{frees: true, fresh: true, cmps: o.cmps, ops: o.ops, change: func(r *durableRecord, _ bool) (bool, error) {
		if h := r.holder(id); h != nil && token.IsZero() {
			token = h.Token
		}
		switch {
		case token.IsZero():
			return true, fmt.Errorf("%q: %w", id, ErrNotHeld)
		case r.end(id, token, true, reason):
			return true, nil
		}
		return false, nil // it was removed, or released, since it was seen
	}})
}
