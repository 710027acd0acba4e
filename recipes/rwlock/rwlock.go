package rwlock

import (
	"context"
	"errors"
	"fmt"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/session"
)

const kind = "rwlock"

// Read is a read-write lock that is held for reading.
type Read struct{ *session.Hold }

// Write is a read-write lock that is held for writing.
type Write struct{ *session.Hold }

// AcquireRead waits in line for the lock and returns it, held for reading: together with other readers, and with no writer. ctx bounds
// the waiting, not the holding. What lock.Acquire says of etcd's absence, and of what failure leaves behind, holds here too.
func AcquireRead(ctx context.Context, s *session.Session, name string) (*Read, error) {
	h, err := calls.Hand(ctx, s, kind, name, acquire(reading))
	if err != nil {
		return nil, err
	}
	return &Read{h}, nil
}

// AcquireWrite waits in line for the lock and returns it, held for writing: by nobody else, in either mode.
func AcquireWrite(ctx context.Context, s *session.Session, name string) (*Write, error) {
	h, err := calls.Hand(ctx, s, kind, name, acquire(writing))
	if err != nil {
		return nil, err
	}
	return &Write{h}, nil
}

// TryAcquireRead returns the lock, held for reading, if no writer holds it and nobody waits, and otherwise a *HeldError.
func TryAcquireRead(ctx context.Context, s *session.Session, name string) (*Read, error) {
	h, err := calls.Hand(ctx, s, kind, name, tryAcquire(reading))
	if err != nil {
		return nil, err
	}
	return &Read{h}, nil
}

// TryAcquireWrite returns the lock, held for writing, if nobody holds it or waits, and otherwise a *HeldError.
func TryAcquireWrite(ctx context.Context, s *session.Session, name string) (*Write, error) {
	h, err := calls.Hand(ctx, s, kind, name, tryAcquire(writing))
	if err != nil {
		return nil, err
	}
	return &Write{h}, nil
}

// mode is how the lock is to be held.
type mode = fencing.Mode

const (
	reading = fencing.Shared
	writing = fencing.Exclusive
)

func acquire(m mode) calls.Get {
	return func(ctx context.Context, c *calls.Call) (*keep.Hold, error) {
		if c.Keeper.Holding(ctx, c.Prefix) {
			return nil, fmt.Errorf("%s: %w", c.What(), ErrWouldDeadlock)
		}
		h, err := c.Attempt(ctx, take(c, m, (*line.Line).Acquire))
		if err != nil {
			return nil, fmt.Errorf("%s: acquire: %w", c.What(), err)
		}
		return h, nil
	}
}

func tryAcquire(m mode) calls.Get {
	return func(ctx context.Context, c *calls.Call) (*keep.Hold, error) {
		limited, cancel := calls.Limit(ctx)
		defer cancel()
		h, err := c.Attempt(limited, take(c, m, (*line.Line).TryAcquire))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.What(), err)
		}
		return h, nil
	}
}

type get func(ln *line.Line, ctx context.Context, lease *keep.Lease, d line.Details, want line.Want) (*line.Entry, error)

// take takes the lock in one mode. A reader's place is named by a number that is given back with it.
func take(c *calls.Call, m mode, get get) calls.Take {
	ln := line.Placed(c.Keeper, c.Prefix)
	return func(ctx context.Context, lease *keep.Lease, d line.Details) (*line.Entry, keep.Spec, error) {
		want, done := line.Want(wantsWrite{}), func() {}
		d.Want = writerPlace
		if m == reading {
			var n int
			n, done = lease.Number(c.Prefix)
			d.Want = fmt.Sprintf("%s%x-%d", readerPlaces, int64(lease.ID()), n)
			want = wantsRead{d.Want}
		}
		e, err := get(ln, ctx, lease, d, want)
		if err != nil {
			done()
			return nil, keep.Spec{}, err
		}
		place := e.Granted()[0]
		return e, keep.Spec{
			What:   c.What(),
			Keys:   e.Granted(),
			Claims: []fencing.Claim{{Resource: c.Resource(), Token: fencing.FromRevision(place.Rev), Mode: m, Key: place.Name}},
			Give: func(ctx context.Context) error {
				err := e.Release(ctx)
				if err == nil || errors.Is(err, keep.ErrNotThere) {
					done()
				}
				return err
			},
		}, nil
	}
}
