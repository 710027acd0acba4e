package keep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stile-dev/stile/fencing"
)

// Spec says what a recipe has got.
type Spec struct {
	What   string // for errors: `lock "a"`
	Keys   []Key  // its own keys; the first write to one of them ends the hold
	Claims []fencing.Claim
	// Watches are on Keys and open already, or none.
	Watches []*Watch
	// Give gives it back in etcd, until ctx ends. It may be called again after an error. ErrLost says that it was not its own.
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

	mu    sync.Mutex
	watch *time.Timer // starts to watch the own keys

	releasing sync.Once
	released  chan struct{}
	result    error // of Release, once released is closed
}

// Hold makes a hold of what spec says. ctx lends it its values. It fails if the lease can't be trusted any more; then
// nothing is held, and the keys go with the lease.
func (l *Lease) Hold(ctx context.Context, spec Spec) (*Hold, error) {
	h := &Hold{lease: l, what: spec.What, keys: spec.Keys, give: spec.Give, released: make(chan struct{})}
	for _, c := range spec.Claims {
		h.claims = append(h.claims, c.Bind(h.Err))
	}
	h.ctx, h.cancel = context.WithCancelCause(fencing.NewContext(context.WithoutCancel(ctx), h.claims...))
	if err := l.add(h); err != nil {
		h.cancel(err)
		return nil, err
	}
	h.watchOwn(spec.Watches)
	return h, nil
}

func (l *Lease) add(h *Hold) error {
	if err := l.Err(); err != nil {
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
	return nil
}

func (l *Lease) drop(h *Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.holds, h)
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
	if h.watch != nil {
		h.watch.Stop()
	}
}

func (h *Hold) lose(why string) {
	h.End(fmt.Errorf("%w: %s", ErrLost, why))
	h.lease.Check()
}

// Release ends the hold and then gives it back. Once is enough: later calls wait for the first and return what it did.
func (h *Hold) Release(ctx context.Context) error {
	ctx, cancel := h.lease.keeper.Cleanup(ctx)
	defer cancel()
	return h.release(ctx)
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
	if why := context.Cause(h.ctx); errors.Is(why, ErrLost) {
		return why
	}
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := follow(h.lease.ctx, cancel)
	defer stop()
	err := h.give(bounded)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrLost):
		return fmt.Errorf("%s: %w", h.what, err)
	}
	h.lease.keeper.Go(h.lease, h.giveLater)
	return h.unknown(err)
}

// giveLater goes on in the background where Release had to stop.
func (h *Hold) giveLater(ctx context.Context) {
	err := h.give(ctx)
	if err != nil && !errors.Is(err, ErrLost) && ctx.Err() == nil {
		h.lease.keeper.cfg.Logger.Warn("not given back; it goes with its lease", "what", h.what, "err", err)
	}
}

func (h *Hold) unknown(err error) error {
	return fmt.Errorf("%s: release: %w, it ends with the session's lease at the latest: %w", h.what, ErrUnknownOutcome, err)
}
