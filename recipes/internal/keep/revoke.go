package keep

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// revokeLater revokes a lost lease in the background, once the work on it has returned. Holders that nobody joins have a margin to
// stop, or until they release.
func (l *Lease) revokeLater() {
	k := l.keeper
	k.spawn(func() {
		await(k.alive, k.cfg.Margin, l.released())
		select {
		case <-l.idle():
		case <-k.alive.Done():
			return
		}
		// etcd ends the lease by itself after a TTL, and a change of leader in between starts that anew.
		ctx, cancel := context.WithTimeout(k.alive, 2*l.granted())
		defer cancel()
		defer k.drop(l)
		if err := l.revoke(ctx); err != nil && k.open.Err() == nil {
			k.cfg.Logger.Warn("a lost lease was not revoked; its keys go when etcd ends it", "lease", int64(l.id), "err", err)
		}
	})
}

func (l *Lease) idle() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.work.wait()
}

func (l *Lease) released() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held.wait()
}

// revoke has etcd end the lease and delete all its keys, and then end what was to outlive it and isn't needed. It tries until ctx ends.
func (l *Lease) revoke(ctx context.Context) error {
	if err := l.keeper.Revoke(ctx, l.id); err != nil {
		return err
	}
	l.keeper.drop(l)
	return l.revokeOutliving(ctx)
}

// Revoke has etcd end a lease. It tries until ctx ends.
func (k *Keeper) Revoke(ctx context.Context, id clientv3.LeaseID) error {
	err := retry.Until(ctx, func(ctx context.Context) error {
		leases, err := k.leaser()
		if err != nil {
			return err
		}
		ctx, cancel := k.request(ctx)
		defer cancel()
		if _, err = leases.Revoke(ctx, id); errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		return retry.Answer(ctx, err)
	})
	if err != nil {
		return fmt.Errorf("revoke lease %x: %w", int64(id), err)
	}
	return nil
}

// drop forgets a lease that is gone, or that nothing more can be done for.
func (k *Keeper) drop(l *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.leases, l)
}
