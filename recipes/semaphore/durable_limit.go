package semaphore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/stile-dev/stile/recipes/session"
)

// SetLimit sets how many may hold at one time, 0 to 1,000, and the group limits: those that are given (Group), and no others. The first call makes the
// semaphore; there may be no leased one of that name (ErrLeased).
//
// It takes nobody's permit away: if more hold than the new limit allows, nobody gets one until enough were released.
func (d *DurableSemaphore) SetLimit(ctx context.Context, limit int, opts ...DurableOption) error {
	const act = "set the limit"
	o := durableOpts(opts)
	err := o.check(false, true)
	if limit < 0 || limit > MaxDurable {
		err = errors.Join(err, fmt.Errorf("a limit of %d: it is from 0 to %d", limit, MaxDurable))
	}
	if err != nil {
		return d.refuse(ctx, act, err)
	}
	id := uuid.NewString()
	over := ""    // which SetLimit it was to come after, when it was sent last
	past := false // another one came after it, or in its place
	return d.call(ctx, act, &durableRequest{limits: true, fresh: true, cmps: o.cmps, ops: o.ops, change: func(r *durableRecord, lost bool) (bool, error) {
		switch {
		case r.Set == id:
			return false, nil
		case past || lost && r.Set != over:
			past = true
			if len(o.ops) > 0 {
				return false, fmt.Errorf("%w: somebody else has set it since, and whether your operations were done is not known", session.ErrUnknownOutcome)
			}
			return false, nil // as if it had come right before the other one
		}
		over = r.Set
		r.Limit, r.Groups, r.Set = limit, o.groups, id
		return true, nil
	}})
}
