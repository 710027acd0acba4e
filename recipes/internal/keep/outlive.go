package keep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// An Outliving is a lease for what has to stay in etcd for a delay after another lease has ended without having been released: etcd ends it no
// earlier than that. It is renewed before each renewal of the other, and if that fails the other one isn't renewed either; what it is granted
// for is longer by the delay, and by a third of the other's TTL, which is more than lies between the two renewals. When the other is lost it is not
// renewed any more. It is revoked with the other if nothing is left on it.
type Outliving struct {
	lease *Lease
	delay time.Duration
	id    clientv3.LeaseID
	keys  int // that may be on it; the mutex of lease guards it
}

// ID is etcd's name for it.
func (o *Outliving) ID() clientv3.LeaseID { return o.id }

// Enter counts a key that is about to be put on it. Leave says that the key is not there any more, and will not be.
func (o *Outliving) Enter() { o.count(1) }

// Leave is the end of what Enter began.
func (o *Outliving) Leave() { o.count(-1) }

func (o *Outliving) count(n int) {
	o.lease.mu.Lock()
	defer o.lease.mu.Unlock()
	o.keys += n
}

// Outliving is the lease that outlives l by delay. The first time it asks etcd for one.
func (l *Lease) Outliving(ctx context.Context, delay time.Duration) (*Outliving, error) {
	select {
	case l.granting <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("open a lease for the delay: %w", retry.Answer(ctx, ctx.Err()))
	}
	defer func() { <-l.granting }()
	if o := l.outliving(delay); o != nil {
		return o, nil
	}
	ttl := l.granted()
	id, err := l.keeper.GrantFor(ctx, ttl+ttl/renewals+delay)
	if err != nil {
		return nil, err
	}
	o := &Outliving{lease: l, delay: delay, id: id}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outlive = append(l.outlive, o)
	return o, nil
}

func (l *Lease) outliving(delay time.Duration) *Outliving {
	for _, o := range l.delays() {
		if o.delay == delay {
			return o
		}
	}
	return nil
}

func (l *Lease) delays() []*Outliving {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.outlive)
}

// GrantFor has etcd open a lease that lasts for d at least, and that nobody renews.
func (k *Keeper) GrantFor(ctx context.Context, d time.Duration) (clientv3.LeaseID, error) {
	leases, err := k.leaser()
	if err != nil {
		return 0, err
	}
	ctx, cancel := k.request(ctx)
	defer cancel()
	resp, err := leases.Grant(ctx, int64((d+time.Second-1)/time.Second))
	if err != nil {
		return 0, fmt.Errorf("open a lease for %v: %w", d, retry.Answer(ctx, err))
	}
	return resp.ID, nil
}

// renewOutliving renews all that outlive l. All of them together have as long as l itself: what is granted on top is twice that.
func (l *Lease) renewOutliving(ctx context.Context) error {
	all := l.delays()
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := l.attempt(ctx)
	defer cancel()
	for _, o := range all {
		if err := o.renew(ctx); err != nil {
			return fmt.Errorf("renew the lease for a delay of %v: %w", o.delay, retry.Answer(ctx, err))
		}
	}
	return nil
}

// renew renews it once. One that etcd doesn't know, which only an operator brings about, is forgotten: the next to need one gets another.
func (o *Outliving) renew(ctx context.Context) error {
	l := o.lease
	leases, err := l.keeper.leaser()
	if err != nil {
		return err
	}
	resp, err := leases.KeepAliveOnce(ctx, o.id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		l.forget(o)
		return nil
	}
	if err != nil {
		return err
	}
	return l.keeper.ledIn(ctx, resp.GetRaftTerm())
}

// Check finds out whether etcd knows it, for somebody whom etcd has told that it doesn't know a lease.
func (o *Outliving) Check(ctx context.Context) error {
	ctx, cancel := o.lease.attempt(ctx)
	defer cancel()
	return retry.Answer(ctx, o.renew(ctx))
}

func (l *Lease) forget(o *Outliving) {
	l.mu.Lock()
	l.outlive = slices.DeleteFunc(l.outlive, func(other *Outliving) bool { return other == o })
	keys := o.keys
	l.mu.Unlock()
	if keys > 0 {
		l.keeper.cfg.Logger.Warn("etcd doesn't know the lease for a delay any more; what is held has no delay now", "delay", o.delay, "lease", int64(o.id))
	}
}

// revokeOutliving ends those on which nothing is left. The others end by themselves.
func (l *Lease) revokeOutliving(ctx context.Context) error {
	var errs []error
	for _, o := range l.unused() {
		errs = append(errs, l.keeper.Revoke(ctx, o.id))
	}
	return errors.Join(errs...)
}

// unused are those on which nothing is, and nothing will be: l has ended.
func (l *Lease) unused() (ids []*Outliving) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.outlive {
		if o.keys == 0 {
			ids = append(ids, o)
		}
	}
	return ids
}

// Later does task in the background once d has passed, as Finish does, unless the session is closed or lease ends before that.
func (k *Keeper) Later(lease *Lease, d time.Duration, task func(ctx context.Context) error) {
	k.Go(lease, func(ctx context.Context) {
		ctx, cancel := k.Bound(ctx, lease)
		defer cancel()
		if retry.Sleep(ctx, d) == nil {
			_ = retry.Stubbornly(ctx, task)
		}
	})
}
