package keep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

const (
	lookEvery = 100 * time.Millisecond // the longest that the watchdog doesn't look
	perLook   = 100                    // keys read in one Txn, of the 128 operations that etcd allows
	renewals  = 3                      // a lease is renewed when 1/renewals of its TTL has passed
)

// watchdog ends the lease at its deadline, whatever the requests to etcd do.
func (l *Lease) watchdog() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-l.ctx.Done():
			return
		}
		left, ok := l.inspect()
		if !ok {
			return
		}
		t.Reset(min(left, lookEvery))
	}
}

// renew keeps the lease alive until it has ended.
func (l *Lease) renew() {
	pauses := retry.Pauses(l.ctx)
	t := time.NewTimer(l.due())
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-l.nudge:
		case <-l.ctx.Done():
			return
		}
		switch err := l.renewOnce(l.ctx); {
		case err == nil:
			pauses.Reset()
			t.Reset(l.due())
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			_ = l.Refused(err) // the holds hear of it
			return
		default:
			t.Reset(min(pauses.NextBackOff(), l.granted()/10))
		}
	}
}

// due is how long until the next renewal.
func (l *Lease) due() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.sent.boot+l.ttl/renewals-l.keeper.clock.Boot())
}

// renewOnce sends one renewal, unless the trust has run out. An answer that is slow to come is given up early enough
// for others to be tried before the deadline.
func (l *Lease) renewOnce(ctx context.Context) error {
	leases, err := l.keeper.leaser()
	if err != nil {
		return l.failed(err)
	}
	if err := l.renewOutliving(ctx); err != nil { // first, so that l never outlives them
		return l.failed(err)
	}
	sent := now(l.keeper.clock)
	if why := l.outlived(sent); why != nil {
		l.lose(why)
		return nil
	}
	attempt, cancel := l.attempt(ctx)
	defer cancel()
	resp, err := leases.KeepAliveOnce(attempt, l.id)
	if err == nil {
		err = l.keeper.ledIn(attempt, resp.GetRaftTerm())
	}
	if err != nil {
		return l.failed(retry.Answer(attempt, err))
	}
	if !l.renewed(sent, time.Duration(resp.TTL)*time.Second) {
		return nil
	}
	return l.confirm(ctx, sent)
}

// attempt bounds what is one attempt to renew. It is without WithRequireLeader: a member without a leader would refuse at once, and
// KeepAliveOnce ask again without a pause.
func (l *Lease) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := min(requestTimeout, l.granted()/(2*renewals))
	return context.WithTimeoutCause(ctx, limit, retry.NoAnswer(limit))
}

// failed remembers why a renewal failed, for whoever is to learn why the lease was lost.
func (l *Lease) failed(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
	return err
}

// Verify asks etcd at once whether the lease is there, for somebody who has seen a key on it vanish. It is nil if etcd says so,
// ErrLost if it is not; any other error says nothing.
func (l *Lease) Verify(ctx context.Context) error {
	if err := l.Refused(l.renewOnce(ctx)); err != nil {
		return err
	}
	return l.Err()
}

// outlived is why the lease can't be trusted at that time, or nil.
func (l *Lease) outlived(at stamp) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left(at) > 0 {
		return nil
	}
	return l.expired()
}

// confirm ends the uncertainty, if there is one: etcd has renewed the lease after it began, and now every key on it is read.
func (l *Lease) confirm(ctx context.Context, sent stamp) error {
	since, holds := l.doubted()
	if since == nil || sent.boot < since.boot {
		return nil
	}
	for len(holds) > 0 {
		n := min(len(holds), perLook)
		if err := l.keeper.compare(ctx, holds[:n]); err != nil {
			return fmt.Errorf("confirm the keys of lease %x: %w", int64(l.id), err)
		}
		holds = holds[n:]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uncertain == since {
		l.uncertain, l.sent = nil, sent
	}
	return nil
}

// ownKey is one key of a hold's.
type ownKey struct {
	Key
	hold *Hold
}

func (l *Lease) doubted() (since *stamp, keys []ownKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uncertain == nil {
		return nil, nil
	}
	for h := range l.holds {
		for _, key := range h.keys {
			keys = append(keys, ownKey{key, h})
		}
	}
	return l.uncertain, keys
}

// compare reads keys and ends the holds whose key is not their own any more.
func (k *Keeper) compare(ctx context.Context, keys []ownKey) error {
	gets := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		gets[i] = clientv3.OpGet(key.Name, clientv3.WithKeysOnly())
	}
	resp, err := k.Txn(ctx, nil, gets, nil)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if kvs := resp.Responses[i].GetResponseRange().Kvs; !key.in(kvs) {
			key.hold.lose(taken)
		}
	}
	return nil
}
