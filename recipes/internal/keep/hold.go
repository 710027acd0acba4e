package keep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Spec says what a recipe has got.
type Spec struct {
	What   string // for errors: `lock "a"`
	Keys   []Key  // its own keys; the first write to one of them ends the hold
	Claims []fencing.Claim
	// Watches are on Keys and open already, or none.
	Watches []*Watch
	Max     time.Duration // after which it ends by itself; 0: never
	// Wish is one that was for what this hold was before, or nil.
	Wish *mvccpb.KeyValue
	// Give gives it back in etcd, until ctx ends. It may be called again after an error. ErrNotThere says that it was not its own.
	Give func(ctx context.Context) error
}

// A Hold is something held on a lease. Package session documents it.
type Hold struct {
	lease  *Lease
	what   string
	keys   []Key
	claims []fencing.Claim
	give   func(context.Context) error
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	watching *time.Timer // starts to watch the own keys
	ending   ending

	releasing sync.Once
	released  chan struct{}
	result    error // of Release, once released is closed
}

// Hold makes a hold of what spec says; values lends it its values. It fails if the lease can't be trusted any more, or is still
// uncertain when ctx ends; then nothing is held, and the recipe gives the keys up.
func (l *Lease) Hold(ctx, values context.Context, spec Spec) (*Hold, error) {
	h := &Hold{lease: l, what: spec.What, keys: spec.Keys, give: spec.Give, released: make(chan struct{})}
	h.ending.asked = make(chan struct{})
	for _, c := range spec.Claims {
		h.claims = append(h.claims, c.Bind(h.Err))
	}
	base := fencing.NewContext(context.WithoutCancel(values), h.claims...)
	h.ctx, h.cancel = context.WithCancelCause(context.WithValue(base, holdsKey{}, append(holdsIn(values), h)))
	if err := l.add(ctx, h); err != nil {
		h.cancel(err)
		for _, w := range spec.Watches {
			w.Close()
		}
		return nil, err
	}
	h.watchOwn(spec.Watches)
	if spec.Wish != nil {
		h.ask(spec.Wish)
	}
	if spec.Max > 0 {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.endsIn(spec.Max, ErrMaxHold)
	}
	return h, nil
}

// holdsKey is where a context has the holds that it comes from.
type holdsKey struct{}

func holdsIn(ctx context.Context) []*Hold {
	holds, _ := ctx.Value(holdsKey{}).([]*Hold)
	return slices.Clip(holds)
}

// Holding reports whether ctx comes from a hold, on this same etcd, of a key below prefix.
func (k *Keeper) Holding(ctx context.Context, prefix string) bool {
	return slices.ContainsFunc(holdsIn(ctx), func(h *Hold) bool {
		below := func(key Key) bool { return strings.HasPrefix(key.Name, prefix) }
		return h.lease.keeper.client == k.client && slices.ContainsFunc(h.keys, below) && h.Err() == nil
	})
}

func (l *Lease) add(ctx context.Context, h *Hold) error {
	if err := l.certain(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	if l.keeper.open.Err() != nil {
		return ErrClosed
	}
	l.holds[h] = struct{}{}
	l.held.enter()
	return nil
}

func (l *Lease) drop(h *Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.holds, h)
	l.held.leave()
}

// Context ends with the hold.
func (h *Hold) Context() context.Context { return h.ctx }

// Claims are the claims that its context carries.
func (h *Hold) Claims() []fencing.Claim { return append([]fencing.Claim(nil), h.claims...) }

// Err is nil while the hold is believed. It reads the clock.
func (h *Hold) Err() error {
	if err := context.Cause(h.ctx); err != nil {
		return err
	}
	err := h.lease.Err()
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrLost) {
		h.lease.lose(err)
	}
	return fmt.Errorf("%s: %w", h.what, err)
}

// End ends the hold for its holder. What stands in etcd stays.
func (h *Hold) End(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel(fmt.Errorf("%s: %w", h.what, why))
	for _, t := range []*time.Timer{h.watching, h.ending.timer} {
		if t != nil {
			t.Stop()
		}
	}
}

// lose ends a hold that was taken. One that has ended already was not: the last write was its own.
func (h *Hold) lose(why string) {
	if h.ctx.Err() != nil {
		return
	}
	h.End(fmt.Errorf("%w: %s", ErrLost, why))
	h.lease.Check()
}

// Release ends the hold and then gives it back. Once is enough: later calls wait for the first and return what it did. While work goes on
// under the hold it only ends it: Do gives it back when the work has returned.
func (h *Hold) Release(ctx context.Context) error {
	h.mu.Lock()
	joined := h.ending.joined
	h.mu.Unlock()
	if joined {
		h.End(ErrReleased)
		return nil
	}
	return h.done(ctx)
}

func (h *Hold) done(ctx context.Context) error {
	ctx, cancel := h.lease.keeper.Cleanup(ctx)
	defer cancel()
	return h.release(ctx)
}

// Exchange ends the hold and has swap change, within one Txn, what is held in etcd into something else, which is not its own any more.
// If swap fails, drop gives back whatever is held, in the background if need be. A hold that has ended is not exchanged.
func (h *Hold) Exchange(ctx context.Context, swap, drop func(ctx context.Context) error) error {
	if ctx == nil {
		return fmt.Errorf("%s: the context is nil", h.what)
	}
	if err := h.Err(); err != nil && !errors.Is(err, ErrUncertain) { // what swap compares is certain
		return err
	}
	first := false
	h.releasing.Do(func() { first = true })
	if !first {
		h.End(ErrReleased) // as the release is about to
		return context.Cause(h.ctx)
	}
	ctx, cancel := h.lease.keeper.Bound(ctx, h.lease)
	defer cancel()
	h.End(ErrReleased)
	err := swap(ctx)
	if err != nil {
		h.lease.keeper.Finish(h.lease, h.what+": release", drop)
		if errors.Is(err, ErrNotThere) {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		} else if !retry.NotApplied(err) {
			err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
		err = fmt.Errorf("%s: %w", h.what, err)
	}
	h.result = err
	h.lease.drop(h)
	close(h.released)
	return err
}

// release is Release within ctx.
func (h *Hold) release(ctx context.Context) error {
	first := false
	h.releasing.Do(func() { first = true })
	if first {
		h.result = h.giveBack(ctx)
		h.lease.drop(h)
		close(h.released)
		return h.result
	}
	select {
	case <-h.released:
	case <-ctx.Done():
		select {
		case <-h.released: // ctx may have ended because the session is closed by now
		default:
			return h.unknown(context.Cause(ctx))
		}
	}
	return h.result
}

func (h *Hold) giveBack(ctx context.Context) error {
	h.End(ErrReleased) // before anybody else can have it
	why := context.Cause(h.ctx)
	if errors.Is(why, ErrLost) && !yielded(why) {
		if h.lease.ctx.Err() == nil { // one key was taken; the others, and what goes with them, stand as long as the session lives
			h.lease.keeper.Finish(h.lease, h.what+": release", h.give)
		}
		return why
	}
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := follow(h.lease.ctx, cancel)
	defer stop()
	err := h.give(bounded)
	switch {
	case yielded(why) && (err == nil || errors.Is(err, ErrNotThere)):
		return why
	case err == nil:
		return nil
	case errors.Is(err, ErrNotThere):
		return fmt.Errorf("%s: %w: %w", h.what, ErrLost, err)
	}
	// The session goes on where this call stops, until it is done or the lease has ended.
	h.lease.keeper.Finish(h.lease, h.what+": release", h.give)
	if retry.NotApplied(err) {
		return fmt.Errorf("%s: not released yet, the session goes on trying: %w", h.what, err)
	}
	return h.unknown(err)
}

func (h *Hold) unknown(err error) error {
	return fmt.Errorf("%s: release: %w, it ends with the session's lease at the latest: %w", h.what, ErrUnknownOutcome, err)
}
