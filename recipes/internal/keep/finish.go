package keep

import (
	"context"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Finish does in the background, until it is done or lease has ended, what a call that has returned could not finish. It
// goes on when etcd refuses it, since a refusal may end; the session's logger hears of the first one, for nobody else does.
func (k *Keeper) Finish(lease *Lease, what string, task func(ctx context.Context) error) (done <-chan struct{}) {
	over := make(chan struct{})
	k.Go(lease, func(ctx context.Context) {
		defer close(over)
		told := false
		_ = retry.Stubbornly(ctx, func(ctx context.Context) error {
			err := task(ctx)
			if retry.Refused(err) && !told {
				told = true
				k.cfg.Logger.Warn("etcd refuses what is left to do; it goes on being tried until the lease has ended",
					"what", what, "lease", int64(lease.id), "err", err)
			}
			return err
		})
	})
	return over
}
