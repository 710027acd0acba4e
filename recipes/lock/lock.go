package lock

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

var errNoAnswer = fmt.Errorf("etcd did not answer within %v", tryTimeout)

// Held is a lock that is held. Release passes it on to whoever is next in line: that one learns of it from an event.
type Held struct {
	*session.Hold
}

// Acquire waits in line for the lock and returns it. ctx bounds the waiting, not the holding: the lock is held until Release, until it is
// lost, or until the session is closed.
//
// While etcd is away Acquire goes on trying until ctx ends. If the session's lease is lost while it waits, it stands in line
// again, at the end (see session.NoRejoin). When it fails nothing is left in line, or will be soon: what etcd could not be told
// in time is done by the session in the background. The error Is what ended the wait: ctx's cause, session.ErrClosed,
// ErrRemoved, ErrWouldDeadlock, or what etcd refused the request with.
func Acquire(ctx context.Context, s *session.Session, name string) (*Held, error) {
	h, err := acquire(ctx, s, name)
	if err != nil {
		return nil, err
	}
	return &Held{session.NewHold(h)}, nil
}

// Do runs work while holding the lock. The work's context ends with the lock, and with ctx; its cause says which. Do returns when work
// has, having released the lock. If the lock was lost meanwhile the error Is session.ErrLost, even if work returned nil; otherwise it
// is work's, and if that is nil, Release's.
func Do(ctx context.Context, s *session.Session, name string, work func(ctx context.Context) error) error {
	if work == nil {
		return fmt.Errorf("lock %q: there is no work to do: it is nil", name)
	}
	h, err := acquire(ctx, s, name)
	if err != nil {
		return err
	}
	return h.Do(ctx, work)
}

// TryAcquire returns the lock if nobody holds it or waits for it, and otherwise a *HeldError, which Is ErrHeld. It does not wait for the
// lock, and for etcd 5 s at the most.
func TryAcquire(ctx context.Context, s *session.Session, name string) (*Held, error) {
	a, err := begin(s, name)
	if err != nil {
		return nil, err
	}
	defer a.end()
	limited, cancel := context.WithTimeoutCause(ctx, tryTimeout, fmt.Errorf("%w: %w", errNoAnswer, context.DeadlineExceeded))
	defer cancel()
	h, err := a.attempt(limited, ctx, a.line.TryJoin)
	if errors.Is(err, ErrHeld) {
		return nil, a.heldBy(limited, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	return &Held{session.NewHold(h)}, nil
}

// acquisition is one call of Acquire or TryAcquire.
type acquisition struct {
	keeper *keep.Keeper
	line   *line.Line
	name   string
	prefix string
	end    func()
}

func begin(s *session.Session, name string) (*acquisition, error) {
	k, err := session.Keeper(s)
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	if err := keys.CheckName(name); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	end, err := k.Begin()
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	prefix := keys.Prefix(k.Root(), kind, name)
	return &acquisition{keeper: k, line: line.New(k, prefix), name: name, prefix: prefix, end: end}, nil
}

func acquire(ctx context.Context, s *session.Session, name string) (*keep.Hold, error) {
	a, err := begin(s, name)
	if err != nil {
		return nil, err
	}
	defer a.end()
	if err := a.holdsAlready(ctx); err != nil {
		return nil, err
	}
	for {
		h, err := a.attempt(ctx, ctx, a.wait)
		again := errors.Is(err, session.ErrLost) || errors.Is(err, session.ErrUncertain)
		switch {
		case err == nil:
			return h, nil
		case again && a.keeper.Rejoins() && ctx.Err() == nil:
			continue // with the next lease, at the end of the line
		}
		return nil, fmt.Errorf("lock %q: acquire: %w", name, err)
	}
}

// holdsAlready looks whether ctx carries a hold on this very lock, which waiting here would outlast.
func (a *acquisition) holdsAlready(ctx context.Context) error {
	for _, c := range fencing.Claims(ctx) {
		if strings.HasPrefix(c.Key, a.prefix) && c.Err() == nil {
			return fmt.Errorf("lock %q: %w", a.name, ErrWouldDeadlock)
		}
	}
	return nil
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

// attempt tries on one lease. values lends the hold its values; ctx bounds the attempt.
func (a *acquisition) attempt(ctx, values context.Context, get getHead) (*keep.Hold, error) {
	lease, err := a.lease(ctx)
	if err != nil {
		return nil, err
	}
	bound, cancel := a.keeper.Bound(ctx, lease)
	defer cancel()
	e, err := get(bound, lease, line.Self(a.keeper.Labels()))
	if err != nil {
		return nil, err
	}
	h, err := lease.Hold(values, a.spec(e))
	if err != nil {
		e.Abandon()
		return nil, err
	}
	return h, nil
}

func (a *acquisition) lease(ctx context.Context) (lease *keep.Lease, err error) {
	ctx, cancel := a.keeper.Bound(ctx, nil)
	defer cancel()
	err = retry.Until(ctx, func(ctx context.Context) error {
		lease, err = a.keeper.Lease(ctx)
		return err
	})
	return lease, err
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
