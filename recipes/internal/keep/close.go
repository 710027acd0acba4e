package keep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// grantTimeout is how long Close waits for a lease that is being opened, so as to revoke it. An etcd that does not answer in that
// time may later have a lease without keys, until its TTL is over.
const grantTimeout = 500 * time.Millisecond

// releases is how many holds Close gives back at one time.
const releases = 32

// Close ends every hold, waits for joined work as long as ctx allows, then gives everything back and revokes the leases.
// Later calls wait for the first and return what it did.
func (k *Keeper) Close(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	first := false
	k.closing.Do(func() { first = true })
	if first {
		k.result = k.close(ctx)
		close(k.closed)
		return k.result
	}
	ctx, cancel := k.Cleanup(ctx)
	defer cancel()
	select {
	case <-k.closed:
		return k.result
	case <-ctx.Done():
	}
	if k.alive.Err() != nil { // that is what ended ctx: the first call is all but done
		<-k.closed
		return k.result
	}
	return fmt.Errorf("close: %w: %w", ErrUnknownOutcome, context.Cause(ctx))
}

func (k *Keeper) close(ctx context.Context) error {
	idle, opening := k.shut()
	k.endHolds()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	c, cancel := k.Cleanup(ctx)
	defer cancel()
	var unopened error
	if opening != nil && !await(c, grantTimeout, opening.done) {
		unopened = fmt.Errorf("close: %w, etcd may have granted a lease without keys, until its TTL is over", ErrUnknownOutcome)
	}
	k.tidy(c)
	err := errors.Join(unopened, k.revokeAll(c))
	k.kill()
	k.tasks.wait()
	return err
}

// tidy gives back what is held and lets the background finish: that leaves the lines tidier than the end of a lease does. Half
// of the time is kept for the revocation, which is enough for everything.
func (k *Keeper) tidy(ctx context.Context) {
	within := k.cfg.Cleanup / 2
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	k.releaseAll(bounded)
	await(bounded, within, k.choresDone())
}

// await waits for done, as long as ctx lasts and no longer than limit. It is false if that was too short.
func await(ctx context.Context, limit time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (k *Keeper) choresDone() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.chores.wait()
}

// Discard ends a Keeper that nobody has used: nothing is told to etcd, and a grant that is on its way is given up.
func (k *Keeper) Discard() {
	k.shut()
	k.kill()
	k.tasks.wait()
}

// shut lets nothing new begin.
func (k *Keeper) shut() (idle <-chan struct{}, opening *opening) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closeOpen(ErrClosed)
	return k.busy.wait(), k.opening
}

func (k *Keeper) all() []*Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	leases := make([]*Lease, 0, len(k.leases))
	for l := range k.leases {
		leases = append(leases, l)
	}
	return leases
}

func (l *Lease) all() []*Hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	holds := make([]*Hold, 0, len(l.holds))
	for h := range l.holds {
		holds = append(holds, h)
	}
	return holds
}

func (k *Keeper) endHolds() {
	for _, l := range k.all() {
		for _, h := range l.all() {
			h.End(ErrClosed)
		}
	}
}

// releaseAll gives back what is still held, so that those who wait need not find out by themselves.
func (k *Keeper) releaseAll(ctx context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, releases)
	for _, l := range k.all() {
		for _, h := range l.all() {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				_ = h.release(ctx) // its own caller hears of it; the revocation covers it
			})
		}
	}
	wg.Wait()
}

// revokeAll revokes all leases, within the cleanup timeout.
func (k *Keeper) revokeAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Cleanup)
	defer cancel()
	var errs []error
	for _, l := range k.all() {
		l.end(ErrClosed)
		if err := l.revoke(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close: %w, its keys go when etcd ends the lease: %w", ErrUnknownOutcome, err))
		}
	}
	return errors.Join(errs...)
}
