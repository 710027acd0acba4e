package semaphore

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/semaphore/internal/slots"
	"github.com/stile-dev/stile/recipes/session"
)

const (
	// MaxLimit is the largest limit.
	MaxLimit = slots.MaxLimit
	// MaxAtOnce is how many permits one acquisition can have: each takes up to two of the 128 operations that etcd allows in a transaction.
	MaxAtOnce = slots.MaxAtOnce
)

// A SpreadLimit says that at most so many permits are held by sessions with the same value of a label.
type SpreadLimit = slots.Spread

// SetLimit says how many permits the semaphore has, from now on and for everybody: at most 1,000. It may be called at any time, by anybody; the
// last call counts. Raising the limit lets those in who wait. Lowering it takes nothing from anybody: nobody is let in until enough permits have
// come back. With 0 the semaphore is closed: whoever asks waits. A request that waits and is larger than the new limit leaves with a *LimitError
// when its turn comes.
//
// How the permits are spread (Spread, NoSpread) stays as it is if no option says otherwise.
//
// It takes 2 requests, and 1 if nothing is to change: each process may call it when it starts. It does not wait for etcd longer than 5 s: then
// the error Is session.ErrUnavailable, or session.ErrUnknownOutcome if it may have been done. A name that is a durable semaphore's gives ErrDurable.
func SetLimit(ctx context.Context, client *clientv3.Client, name string, n int, opts ...ClientOption) error {
	set := asked(opts)
	prefix, err := calls.Prefix(ctx, client, kind, name, set.reading)
	if err != nil {
		return err
	}
	if n < 0 || n > MaxLimit {
		return fmt.Errorf("semaphore %q: set limit %d: it is from 0 to %d", name, n, MaxLimit)
	}
	if err := set.check(); err != nil {
		return fmt.Errorf("semaphore %q: set limit: %w", name, err)
	}
	ctx, cancel := calls.Limit(ctx)
	defer cancel()
	w := &slots.Writer{KV: client.KV, Prefix: prefix, Limit: n, Spread: set.spread, NoSpread: set.noSpread}
	err = retry.Until(ctx, w.Attempt)
	switch {
	case err != nil && w.Unanswered:
		return fmt.Errorf("semaphore %q: set limit: %w: %w", name, session.ErrUnknownOutcome, err)
	case err != nil:
		return fmt.Errorf("semaphore %q: set limit: %w", name, err)
	}
	return nil
}
