package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

const kind = "lock"

// tryTimeout bounds TryAcquire, which doesn't wait for the lock, while etcd is away.
const tryTimeout = 5 * time.Second

var errNoAnswer = retry.NoAnswer(tryTimeout)

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
func Acquire(ctx context.Context, s *session.Session, name string) (*Held, error) {
	return hand(ctx, s, name, (*acquisition).acquire)
}

// TryAcquire returns the lock if nobody holds it or waits for it, and otherwise a *HeldError, which Is ErrHeld. It does not wait for the
// lock, and for etcd 5 s at the most: then the error Is session.ErrUnavailable.
func TryAcquire(ctx context.Context, s *session.Session, name string) (*Held, error) {
	return hand(ctx, s, name, (*acquisition).tryAcquire)
}

// Do runs work while holding the lock. The work's context ends with the lock, and with ctx; its cause says which. Do returns when work
// has, having released the lock. If the lock was lost meanwhile the error Is session.ErrLost, even if work returned nil; otherwise it
// is work's, and if that is nil, Release's.
//
// When the lock is lost its lease is left to run out until work has returned, so that work which stops within the session's margin
// has stopped before anybody else can hold the lock.
func Do(ctx context.Context, s *session.Session, name string, work func(ctx context.Context) error) error {
	return run(ctx, s, name, work, (*acquisition).acquire)
}

// TryDo is Do if nobody holds the lock or waits for it. Otherwise work is not run, and the error is a *HeldError, which Is ErrHeld.
func TryDo(ctx context.Context, s *session.Session, name string, work func(ctx context.Context) error) error {
	return run(ctx, s, name, work, (*acquisition).tryAcquire)
}

// hand hands the lock out.
func hand(ctx context.Context, s *session.Session, name string, get getHold) (*Held, error) {
	a, err := begin(ctx, s, name)
	if err != nil {
		return nil, err
	}
	defer a.end()
	h, err := get(a, ctx)
	if err != nil {
		return nil, err
	}
	return &Held{session.NewHold(h)}, nil
}

// run runs work under the lock.
func run(ctx context.Context, s *session.Session, name string, work func(context.Context) error, get getHold) error {
	if work == nil {
		return fmt.Errorf("lock %q: there is no work to do: it is nil", name)
	}
	a, err := begin(ctx, s, name)
	if err != nil {
		return err
	}
	defer a.end() // after the work, so that closing the session waits for it without a gap
	h, err := get(a, ctx)
	if err != nil {
		return err
	}
	return h.Do(ctx, work)
}

// getHold is how an acquisition gets the lock: by waiting for it, or not.
type getHold func(a *acquisition, ctx context.Context) (*keep.Hold, error)

// acquisition is one call of Acquire, TryAcquire, Do or TryDo.
type acquisition struct {
	keeper *keep.Keeper
	line   *line.Line
	name   string
	prefix string
	end    func()
}

// begin refuses what can be refused without a request.
func begin(ctx context.Context, s *session.Session, name string) (*acquisition, error) {
	k, err := session.Keeper(s)
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	if err := keys.CheckName(name); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if ctx == nil {
		return nil, fmt.Errorf("lock %q: the context is nil", name)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("lock %q: %w", name, retry.Why(ctx))
	}
	end, err := k.Begin()
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	prefix := keys.Prefix(k.Root(), kind, name)
	return &acquisition{keeper: k, line: line.New(k, prefix), name: name, prefix: prefix, end: end}, nil
}

// acquire waits for the lock, unless ctx says that it is held already.
func (a *acquisition) acquire(ctx context.Context) (*keep.Hold, error) {
	if a.keeper.Holding(ctx, a.prefix) {
		return nil, fmt.Errorf("lock %q: %w", a.name, ErrWouldDeadlock)
	}
	h, err := a.attempt(ctx, a.wait)
	if err != nil {
		return nil, fmt.Errorf("lock %q: acquire: %w", a.name, err)
	}
	return h, nil
}

// tryAcquire takes the lock if it is free.
func (a *acquisition) tryAcquire(ctx context.Context) (*keep.Hold, error) {
	limited, cancel := context.WithTimeoutCause(ctx, tryTimeout, errNoAnswer)
	defer cancel()
	h, err := a.attempt(limited, a.line.TryJoin)
	switch {
	case err == nil:
		return h, nil
	case errors.Is(err, ErrHeld):
		return nil, a.heldBy(limited, err)
	}
	return nil, fmt.Errorf("lock %q: %w", a.name, err)
}

// getHead is how an entry gets to the head of the line: by waiting for it or by finding it free.
type getHead func(ctx context.Context, lease *keep.Lease, d line.Details) (*line.Entry, error)

func (a *acquisition) wait(ctx context.Context, lease *keep.Lease, d line.Details) (*line.Entry, error) {
	e, err := a.line.Join(ctx, lease, d)
	if err != nil {
		return nil, err
	}
	if err := e.Wait(ctx); err != nil {
		e.Abandon()
		return nil, err
	}
	return e, nil
}

// attempt gets to the head on one lease after the other, if they are lost meanwhile, each time from the end of the line.
func (a *acquisition) attempt(ctx context.Context, get getHead) (*keep.Hold, error) {
	return a.keeper.Attempt(ctx, func(bound context.Context, lease *keep.Lease) (*keep.Hold, error) {
		e, err := get(bound, lease, line.Self(a.keeper.Labels()))
		if err != nil {
			return nil, err
		}
		h, err := lease.Hold(bound, ctx, a.spec(e))
		if err != nil {
			e.Abandon()
			return nil, err
		}
		return h, nil
	})
}

func (a *acquisition) spec(e *line.Entry) keep.Spec {
	key := e.Key()
	return keep.Spec{
		What:    fmt.Sprintf("lock %q", a.name),
		Keys:    []keep.Key{key},
		Claims:  []fencing.Claim{{Resource: kind + "/" + a.name, Token: fencing.FromRevision(key.Rev), Key: key.Name}},
		Watches: e.TakeWatch(),
		Give:    e.Pass,
	}
}
