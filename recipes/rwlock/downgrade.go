package rwlock

import (
	"context"

	"github.com/stile-dev/stile/recipes/session"
)

// Downgrade turns a lock that is held for writing into one that is held for reading, in one transaction: no writer gets in between. The hold
// for writing has ended then, with session.ErrReleased; the one for reading has a token of its own, larger than the old.
//
// Whoever has asked for the lock (Revoke) has asked for that one too: its grace begins anew.
//
// If it fails the lock is not held any more (but with a nil ctx nothing is done): ErrLost if it was lost before, and
// session.ErrUnknownOutcome if etcd did not answer as long as ctx
// lasted; then the session gives it back in the background. There is no way up again: a reader that waited to write would wait for itself.
func (w *Write) Downgrade(ctx context.Context) (*Read, error) {
	g := w.got
	name, free := readerPlace(g.call, g.lease)
	begun := false
	swap := func(ctx context.Context) error {
		begun = true
		g.entry.Leaving(free)
		return g.entry.Exchange(ctx, name)
	}
	if err := session.Exchange(ctx, w.Hold, swap, g.entry.Drop); err != nil {
		if !begun {
			free()
		}
		return nil, err
	}
	h, err := g.lease.Hold(ctx, w.Context(), g.spec(reading))
	if err != nil {
		g.entry.Abandon()
		return nil, err
	}
	return &Read{session.NewHold(h)}, nil
}
