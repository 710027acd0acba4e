package stilefx

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/session"
)

// Elected runs task beside the application, as Run does, but only while this process leads the election called name, on the application's session. task's
// ctx ends with the term as well; leadership goes to another process when task has returned. D is what task needs besides the session, as for Run.
//
// It is election.Run, with its options: a task that returns nil is done, and leaves the election; one that fails stops the application; a term that is
// lost is campaigned for again. After election.Drain it is done,
// unless the task has failed. When the application stops, a candidate that waits leaves the line.
func Elected[D any](name string, task func(ctx context.Context, term *election.Term, d D) error, opts ...election.Option) fx.Option {
	if task == nil {
		return fx.Error(fmt.Errorf("election %q: there is nothing to run: it is nil", name))
	}
	type deps struct {
		fx.In
		Lifecycle  fx.Lifecycle
		Shutdowner fx.Shutdowner
		Session    *session.Session
	}
	return fx.Invoke(func(needs deps, d D) {
		r := &running{name: "election " + name, shutdowner: needs.Shutdowner}
		r.work = func(ctx context.Context) error {
			var last error // of the task's
			err := election.Run(ctx, needs.Session, name, func(ctx context.Context, term *election.Term) error {
				last = task(ctx, term, d)
				return last
			}, opts...)
			failed := last != nil && errors.Is(err, last) && !errors.Is(last, election.ErrDrained) && !errors.Is(last, context.Canceled)
			if errors.Is(err, election.ErrDrained) && !failed {
				return nil
			}
			return err
		}
		needs.Lifecycle.Append(fx.Hook{OnStart: r.start, OnStop: r.stop})
	})
}
