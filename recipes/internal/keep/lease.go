package keep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A Lease is one lease of etcd's and how long to trust it. Its states are in the package's comment.
type Lease struct {
	keeper *Keeper
	id     clientv3.LeaseID
	ctx    context.Context // ends with the lease, with the cause
	cancel context.CancelCauseFunc
	nudge  chan struct{} // renew now

	granting chan struct{} // is full while somebody asks for an Outliving

	mu        sync.Mutex
	ttl       time.Duration
	sent      stamp         // of the renewal that trust counts from
	until     time.Duration // trusted until, on the boot clock
	uncertain *stamp        // since when nothing on it is believed; nil: it is
	failure   error         // of the last renewal; nil: it was answered
	holds     map[*Hold]struct{}
	numbers   map[string]map[int]struct{} // taken, by scope
	work      busy                        // joined work: the lease is revoked after it
	outlive   []*Outliving
	held      busy // holds that are not released: it is revoked a margin after the loss, or after them
}

func newLease(k *Keeper, id clientv3.LeaseID, ttl time.Duration, sent stamp) *Lease {
	l := &Lease{keeper: k, id: id, nudge: make(chan struct{}, 1), granting: make(chan struct{}, 1), ttl: ttl, sent: sent, holds: make(map[*Hold]struct{})}
	l.ctx, l.cancel = context.WithCancelCause(k.alive)
	l.until = sent.boot + ttl - k.cfg.Margin
	return l
}

// start begins to keep it.
func (l *Lease) start() {
	l.keeper.spawn(l.renew)
	l.keeper.spawn(l.watchdog)
}

// ID is etcd's name for it.
func (l *Lease) ID() clientv3.LeaseID { return l.id }

func (l *Lease) granted() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ttl
}

// Err is nil as long as the lease may be trusted. It reads the clock: no goroutine needs to have noticed.
func (l *Lease) Err() error {
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	at := now(l.keeper.clock)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.left(at) <= 0:
		return l.expired()
	case l.uncertain != nil || l.sent.jumped(at) > l.keeper.cfg.Margin:
		return fmt.Errorf("%w: the wall clock jumped ahead, as after a pause of the whole machine; asking etcd", ErrUncertain)
	}
	return nil
}

func (l *Lease) expired() error {
	err := fmt.Errorf("%w: its lease was not renewed within %v", ErrLost, l.ttl-l.keeper.cfg.Margin)
	if l.failure == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, l.failure)
}

// left is for how long it is still trusted at that time. A small jump of the wall clock counts as time that has passed, since a short
// pause of the machine looks like that; a large one makes the lease uncertain.
func (l *Lease) left(at stamp) time.Duration {
	left := l.until - at.boot
	if ahead := l.sent.jumped(at); l.uncertain == nil && ahead > 0 && ahead <= l.keeper.cfg.Margin {
		left -= ahead
	}
	return left
}

// inspect is what the watchdog does at each look. It returns how long until it must look again, at most, and false when the
// lease has ended.
func (l *Lease) inspect() (time.Duration, bool) {
	if l.ctx.Err() != nil {
		return 0, false
	}
	at := now(l.keeper.clock)
	if why := l.outlived(at); why != nil {
		l.lose(why)
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uncertain == nil && l.sent.jumped(at) > l.keeper.cfg.Margin {
		l.uncertain = &at
		l.Check()
	}
	return l.left(at), true
}

// renewed takes the answer to a renewal. It is false when the answer came too late, or after the lease had ended.
func (l *Lease) renewed(sent stamp, ttl time.Duration) bool {
	at := now(l.keeper.clock)
	l.mu.Lock()
	l.failure = nil
	var late error
	if l.left(at) <= 0 {
		late = l.expired()
	}
	if l.uncertain == nil && l.sent.jumped(sent) > l.keeper.cfg.Margin {
		l.uncertain = &sent // nobody has noticed yet that the clock jumped before this was sent
	}
	if late == nil && sent.jumped(at) <= l.keeper.cfg.Margin {
		l.ttl = ttl
		l.until = max(l.until, sent.boot+ttl-l.keeper.cfg.Margin)
		if l.uncertain == nil {
			l.sent = sent
		}
	}
	l.mu.Unlock()
	if late != nil {
		l.lose(late)
	}
	return l.ctx.Err() == nil
}

// Check has the lease renewed at once: somebody has seen a sign that it may be gone.
func (l *Lease) Check() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// Refused looks at etcd's answer to a request that named the lease. If etcd does not know the lease it is lost, and so says the
// error; any other comes back as it is.
func (l *Lease) Refused(err error) error {
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	l.lose(fmt.Errorf("%w: its lease is gone from etcd", ErrLost))
	return retry.Permanent(context.Cause(l.ctx))
}

// lose ends everything on the lease, and has it revoked when the work on it has returned.
func (l *Lease) lose(why error) {
	if !l.end(why) {
		return
	}
	l.revokeLater()
}

// end ends the lease and its holds. It is false if that was done before.
func (l *Lease) end(why error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.cancel(why)
	for h := range l.holds {
		h.End(why)
	}
	return true
}
