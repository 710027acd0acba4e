package lock

import (
	"context"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/session"
)

const kind = "lock"

// Held is a lock that is held. Release passes it on to whoever is next in line: that one learns of it from an event.
type Held struct {
	*session.Hold
}

// Acquire waits in line for the lock and returns it. ctx bounds the waiting, not the holding: the lock is held until Release, until it is
// lost, or until the session is closed.
//
// While etcd is away Acquire goes on trying until ctx ends. If the session's lease is lost while it waits, it stands in line
// again, at the end (see session.NoRejoin). When it fails nothing is left in line, or will be soon: what etcd could not be told
// in time is done by the session in the background. The error Is what ended the wait: ctx's error and cause (and
// session.ErrUnavailable, if it was etcd that did not answer, and not somebody else's holding the lock), session.ErrClosed,
// session.ErrBadName, ErrRemoved, ErrWouldDeadlock, or what etcd refused the request with.
func Acquire(ctx context.Context, s *session.Session, name string, opts ...Option) (*Held, error) {
	return hand(ctx, s, name, acquire(opts))
}

// TryAcquire returns the lock if nobody holds it or waits for it, and otherwise a *HeldError, which Is ErrHeld. It does not wait for the
// lock, and for etcd 5 s at the most: then the error Is session.ErrUnavailable.
func TryAcquire(ctx context.Context, s *session.Session, name string, opts ...Option) (*Held, error) {
	return hand(ctx, s, name, tryAcquire(opts))
}

// Do runs work while holding the lock. The work's context ends with the lock, and with ctx; its cause says which. Do returns when work
// has, having released the lock. If the lock was lost meanwhile the error Is session.ErrLost, even if work returned nil; otherwise it
// is work's, and if that is nil, Release's.
//
// When the lock is lost its lease is left to run out until work has returned, so that work which stops within the session's margin
// has stopped before anybody else can hold the lock.
func Do(ctx context.Context, s *session.Session, name string, work func(ctx context.Context) error, opts ...Option) error {
	return calls.Do(ctx, s, kind, name, work, acquire(opts))
}

// TryDo is Do if nobody holds the lock or waits for it. Otherwise work is not run, and the error is a *HeldError, which Is ErrHeld.
func TryDo(ctx context.Context, s *session.Session, name string, work func(ctx context.Context) error, opts ...Option) error {
	return calls.Do(ctx, s, kind, name, work, tryAcquire(opts))
}

func hand(ctx context.Context, s *session.Session, name string, get calls.Get) (*Held, error) {
	h, err := calls.Hand(ctx, s, kind, name, get)
	if err != nil {
		return nil, err
	}
	return &Held{h}, nil
}

func acquire(opts []Option) calls.Get { return calls.WaitingOn(opts, take((*line.Line).Head)) }

func tryAcquire(opts []Option) calls.Get {
	return calls.TryingOn(opts, take((*line.Line).TryJoin), heldBy)
}

// take makes the head the holder. To get to the head is to wait for it, or to find it free.
func take(get func(ln *line.Line, ctx context.Context, lease *keep.Lease, d line.Details) (*line.Entry, error)) calls.TakeOn {
	return func(c *calls.Call, t calls.Terms) calls.Take {
		ln := line.New(c.Keeper, c.Prefix).On(t.Terms)
		return func(ctx context.Context, lease *keep.Lease, d line.Details) (interface{ Abandon() }, keep.Spec, error) {
			e, err := get(ln, ctx, lease, d)
			if err != nil {
				return nil, keep.Spec{}, err
			}
			key := e.Key()
			return e, keep.Spec{
				What:    c.What(),
				Keys:    []keep.Key{key},
				Claims:  []fencing.Claim{{Resource: c.Resource(), Token: fencing.FromRevision(key.Rev), Key: key.Name}},
				Watches: e.TakeWatch(),
				Max:     t.Max,
				Give:    e.Give,
			}, nil
		}
	}
}
