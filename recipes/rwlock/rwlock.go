package rwlock

import (
	"context"
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
type Write struct {
	*session.Hold
	got *got
}

// AcquireRead waits in line for the lock and returns it, held for reading: together with other readers, and with no writer. ctx bounds
// the waiting, not the holding. What lock.Acquire says of etcd's absence, and of what failure leaves behind, holds here too.
func AcquireRead(ctx context.Context, s *session.Session, name string) (*Read, error) {
	h, err := calls.Hand(ctx, s, kind, name, acquire(reading, new(got)))
	if err != nil {
		return nil, err
	}
	return &Read{h}, nil
}

// AcquireWrite waits in line for the lock and returns it, held for writing: by nobody else, in either mode.
func AcquireWrite(ctx context.Context, s *session.Session, name string) (*Write, error) {
	g := new(got)
	h, err := calls.Hand(ctx, s, kind, name, acquire(writing, g))
	if err != nil {
		return nil, err
	}
	return &Write{h, g}, nil
}

// TryAcquireRead returns the lock, held for reading, if no writer holds it and nobody waits, and otherwise a *HeldError.
func TryAcquireRead(ctx context.Context, s *session.Session, name string) (*Read, error) {
	h, err := calls.Hand(ctx, s, kind, name, tryAcquire(reading, new(got)))
	if err != nil {
		return nil, err
	}
	return &Read{h}, nil
}

// TryAcquireWrite returns the lock, held for writing, if nobody holds it or waits, and otherwise a *HeldError.
func TryAcquireWrite(ctx context.Context, s *session.Session, name string) (*Write, error) {
	g := new(got)
	h, err := calls.Hand(ctx, s, kind, name, tryAcquire(writing, g))
	if err != nil {
		return nil, err
	}
	return &Write{h, g}, nil
}

// DoRead runs work while holding the lock for reading, as lock.Do does with an exclusive lock.
func DoRead(ctx context.Context, s *session.Session, name string, work func(ctx context.Context) error) error {
	return calls.Do(ctx, s, kind, name, work, acquire(reading, new(got)))
}

// DoWrite runs work while holding the lock for writing, as lock.Do does with an exclusive lock.
func DoWrite(ctx context.Context, s *session.Session, name string, work func(ctx context.Context) error) error {
	return calls.Do(ctx, s, kind, name, work, acquire(writing, new(got)))
}

// mode is how the lock is to be held.
type mode = fencing.Mode

const (
	reading = fencing.Shared
	writing = fencing.Exclusive
)

func acquire(m mode, g *got) calls.Get {
	return calls.Waiting(func(c *calls.Call) calls.Take { return take(c, m, (*line.Line).Acquire, g) })
}

func tryAcquire(m mode, g *got) calls.Get {
	return calls.Trying(func(c *calls.Call) calls.Take { return take(c, m, (*line.Line).TryAcquire, g) }, heldBy)
}

// got is what an acquisition has got in the end.
type got struct {
	call  *calls.Call
	lease *keep.Lease
	entry *line.Entry
}

// take takes the lock in one mode.
func take(c *calls.Call, m mode, get line.Get, g *got) calls.Take {
	return func(ctx context.Context, lease *keep.Lease, d line.Details) (interface{ Abandon() }, keep.Spec, error) {
		ln, want := line.Placed(c.Keeper, c.Prefix), line.Want(wantsWrite{})
		d.Want = writerPlace
		if m == reading {
			name, free := readerPlace(c, lease)
			ln, d.Want, want = ln.Leaving(free), name, wantsRead{name}
		}
		e, err := get(ln, ctx, lease, d, want)
		if err != nil {
			return nil, keep.Spec{}, err
		}
		*g = got{c, lease, e}
		return e, g.spec(m), nil
	}
}

// readerPlace is a name for a reader's place. Its number is to be set free once the place is.
func readerPlace(c *calls.Call, lease *keep.Lease) (name string, free func()) {
	n, free := lease.Number(c.Prefix)
	return fmt.Sprintf("%s%x-%d", readerPlaces, int64(lease.ID()), n), free
}

func (g *got) spec(m mode) keep.Spec {
	place := g.entry.Granted()[0]
	return keep.Spec{
		What:   g.call.What(),
		Keys:   g.entry.Granted(),
		Claims: []fencing.Claim{{Resource: g.call.Resource(), Token: fencing.FromRevision(place.Rev), Mode: m, Key: place.Name}},
		Give:   g.entry.Release,
		Wish:   g.entry.Wish(),
	}
}
