package keep

import (
	"context"
	"errors"
	"time"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// lookAgain is how often a lease that isn't certain is looked at.
const lookAgain = 20 * time.Millisecond

// Attempt has acquire try on the open lease and, if that is lost meanwhile, on the next, until ctx ends. While there is no lease it asks for
// one, again and again. The ctx that acquire gets is of Bound.
func (k *Keeper) Attempt(ctx context.Context, acquire func(ctx context.Context, lease *Lease) (*Hold, error)) (*Hold, error) {
	for {
		h, err := k.once(ctx, acquire)
		if err == nil || !errors.Is(err, ErrLost) || k.cfg.NoRejoin || ctx.Err() != nil {
			return h, err
		}
	}
}

func (k *Keeper) once(ctx context.Context, acquire func(ctx context.Context, lease *Lease) (*Hold, error)) (*Hold, error) {
	lease, err := k.waitForLease(ctx)
	if err != nil {
		return nil, err
	}
	bound, cancel := k.Bound(ctx, lease)
	defer cancel()
	return acquire(bound, lease)
}

func (k *Keeper) waitForLease(ctx context.Context) (lease *Lease, err error) {
	ctx, cancel := k.Bound(ctx, nil)
	defer cancel()
	err = retry.Until(ctx, func(ctx context.Context) error {
		lease, err = k.Lease(ctx)
		return err
	})
	return lease, err
}

// certain waits until the lease is believed or isn't: what is gained on it is not thrown away because the clock has jumped.
func (l *Lease) certain(ctx context.Context) error {
	for {
		err := l.Err()
		if !errors.Is(err, ErrUncertain) {
			return err
		}
		l.Check()
		if err := retry.Sleep(ctx, lookAgain); err != nil {
			return err
		}
	}
}
