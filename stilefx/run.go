package stilefx

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/stilefx/internal/hooks"
)

// ErrStopping is why a task's ctx has ended: the application stops. It is the cause (context.Cause) of that ctx.
var ErrStopping = errors.New("the application stops")

// Run runs task beside the application, from its start to its stop. D is what task needs of the application: a type
// that is provided, such as *session.Session, or a struct with fx.In for several of them, or none.
//
// task's ctx ends, with the cause ErrStopping, when the application stops; the application waits for task to return and
// then stops what it depends on. A task that does not return in time (see the package's comment) is named in the error
// of the stop.
//
// A task that returns nil is done. One that fails stops the application, with exit code 1, and its error is returned by
// the application's Stop. After the stop has begun, an error that Is ErrStopping or context.Canceled is no failure,
// unless it also Is session.ErrLost. A panic ends the process, as in any goroutine.
func Run[D any](name string, task func(ctx context.Context, d D) error) fx.Option {
	if task == nil {
		return fx.Error(fmt.Errorf("task %q: there is nothing to run: it is nil", name))
	}
	return fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, d D) {
		r := &running{name: name, shutdowner: sd}
		r.work = func(ctx context.Context) error { return task(ctx, d) }
		lc.Append(fx.Hook{OnStart: r.start, OnStop: r.stop})
	})
}

// running is a task in an application.
type running struct {
	name       string
	work       func(ctx context.Context) error
	shutdowner fx.Shutdowner

	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // once done is closed
}

// start gives the task a ctx of its own: the hook's ends as soon as the application has started.
func (r *running) start(context.Context) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel, r.done, r.err = cancel, make(chan struct{}), nil
	go r.run(ctx)
	return nil
}

func (r *running) run(ctx context.Context) {
	defer close(r.done)
	err := r.work(ctx)
	if err == nil || ctx.Err() != nil && asked(err) {
		return
	}
	r.err = fmt.Errorf("task %q: %w", r.name, err)
	if ctx.Err() == nil {
		hooks.Halt(r.shutdowner)
	}
}

// asked reports whether err is how a task ends that was stopped. That a hold was lost is never hidden.
func asked(err error) bool {
	return (errors.Is(err, ErrStopping) || errors.Is(err, context.Canceled)) && !errors.Is(err, session.ErrLost)
}

func (r *running) stop(ctx context.Context) error {
	ctx, cancel := hooks.Spare(ctx)
	defer cancel()
	r.cancel(ErrStopping)
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("task %q: it goes on although it was stopped: %w", r.name, ctx.Err())
	}
}
