package election

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

// Run campaigns, and runs work while it leads. The work's context ends with the term and with ctx; leadership is kept until work has returned,
// and only then given to the next candidate, so that no work of two leaders overlaps, short of what package session says of paused processes.
//
// When work returns nil, Run resigns and returns nil; when it returns an error, Run resigns and returns that: with the option Again it campaigns again
// instead. Work that has resigned or handed over by itself may return what its context says then (context.Canceled, session.ErrReleased): that counts as nil.
// When the term is lost, or an operator takes it away, Run waits for work to return and campaigns again, whatever that returns: an error that isn't
// the end of its context is told to the session's logger. Run returns an error that
// Is ctx.Err() when ctx ends before it leads, session.ErrClosed when the session is closed, and ErrDrained after Drain.
//
// While etcd is out of space nobody can be elected: Run pauses, for 2 s at most, and campaigns again, until ctx ends. Any other refusal of etcd's ends it.
//
// Work that goes on although its context has ended is reported to the session's logger after a second, and waited for: it never overlaps
// with the next run of itself. A panic of work's goes through, after resigning.
func Run(ctx context.Context, s *session.Session, name string, work func(ctx context.Context, t *Term) error, opts ...Option) error {
	cfg, err := configure(opts)
	if err == nil && work == nil {
		err = errors.New("there is no work to do: it is nil")
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", kind, name, err)
	}
	r := &run{s, name, work, cfg}
	pauses := retry.Pauses(ctx)
	for {
		o := r.once(ctx)
		if !o.won && errors.Is(o.err, rpctypes.ErrNoSpace) { // or it would end every candidate in turn
			if err := r.pause(ctx, pauses.NextBackOff()); err != nil {
				return r.ended(err, "the last campaign", o.err)
			}
			continue
		}
		pauses.Reset()
		switch {
		case !o.won:
			return o.err
		case o.drained:
			return r.drained(o)
		case ctx.Err() != nil:
			return o.err
		case o.lost:
			r.drop(o.work)
			continue
		case cfg.again == nil:
			return o.err
		}
		if o.work == nil {
			cfg.again.Reset()
		}
		pause := cfg.again.NextBackOff()
		if pause == backoff.Stop {
			return o.err
		}
		if err := r.pause(ctx, pause); err != nil {
			return r.ended(err, "the work returned", o.err)
		}
	}
}

type run struct {
	session *session.Session
	name    string
	work    func(ctx context.Context, t *Term) error
	cfg     *config
}

// outcome is what came of a campaign.
type outcome struct {
	won     bool
	lost    bool
	drained bool
	work    error // what the work has returned
	err     error // the same, or why there is nothing, or what went wrong afterwards
}

// once campaigns and works, once.
func (r *run) once(ctx context.Context) (o outcome) {
	t := &Term{}
	defer func() { // also when work panics
		if t.Hold != nil {
			t.leaves()
		}
	}()
	o.err = calls.Do(ctx, r.session, kind, r.name, func(within context.Context) error {
		o.work = r.watched(within, t)
		o.lost = errors.Is(t.Err(), session.ErrLost)
		if ctx.Err() == nil && t.obeyed(o.work) {
			o.work = nil
		}
		return o.work
	}, t.win(r.cfg, r))
	if o.won = t.Hold != nil && t.stand.term == t; o.won {
		o.lost = o.lost || errors.Is(o.err, session.ErrLost) && !errors.Is(o.work, session.ErrLost)
		o.drained = errors.Is(context.Cause(t.Context()), ErrDrained)
	}
	return o
}

// obeyed reports whether work has returned what its context says, after it has resigned or handed over: that is no failure.
func (t *Term) obeyed(work error) bool {
	return errors.Is(context.Cause(t.Context()), session.ErrReleased) && (errors.Is(work, context.Canceled) || errors.Is(work, session.ErrReleased))
}

// ignored is how long work may go on after its context has ended before somebody hears of it.
const ignored = time.Second

// watched works, and tells the session's logger if the work ignores its context.
func (r *run) watched(ctx context.Context, t *Term) error {
	over := make(chan struct{})
	defer close(over)
	stop := context.AfterFunc(ctx, func() {
		late := time.NewTimer(ignored)
		defer late.Stop()
		select {
		case <-over:
		case <-late.C:
			t.keeper.Logger().Warn("the work of a leader goes on although its context has ended; it is waited for, and nobody can lead meanwhile unless the term was lost",
				"election", r.name, "term", t.Token().String(), "why", context.Cause(ctx))
		}
	})
	defer stop()
	return r.work(ctx, t)
}

// drop tells the session's logger of an error of work's that goes nowhere else: the term was lost.
func (r *run) drop(work error) {
	if work == nil || errors.Is(work, context.Canceled) || errors.Is(work, session.ErrLost) {
		return
	}
	if k, err := session.Keeper(r.session); err == nil {
		k.Logger().Warn("the work of a leader whose term was lost has failed; it campaigns again", "election", r.name, "err", work)
	}
}

func (r *run) drained(o outcome) error {
	if o.work == nil || errors.Is(o.work, ErrDrained) || errors.Is(o.work, context.Canceled) {
		return fmt.Errorf("%s %q: %w", kind, r.name, ErrDrained)
	}
	return fmt.Errorf("%s %q: %w (the work returned: %w)", kind, r.name, ErrDrained, o.work)
}

// pause waits before the next campaign.
func (r *run) pause(ctx context.Context, d time.Duration) error {
	k, err := session.Keeper(r.session)
	if err != nil {
		return err
	}
	bound, cancel := k.Bound(ctx, nil)
	defer cancel()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-stands(k).drained:
		return ErrDrained
	case <-bound.Done():
		return context.Cause(bound) // of ctx, or that the session was closed
	}
}

// ended says why Run ends between two campaigns, and what there was last.
func (r *run) ended(why error, what string, last error) error {
	if last != nil {
		why = fmt.Errorf("%w (%s: %w)", why, what, last)
	}
	return fmt.Errorf("%s %q: %w", kind, r.name, why)
}
