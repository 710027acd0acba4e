// Package app runs an fx application the way a command wants it: silent, ended by a context, with errors for people.
package app

import (
	"context"

	"go.uber.org/dig"
	"go.uber.org/fx"
)

// Run runs the application until ctx ends or it stops by itself, and returns why it failed, if it did. A ctx that ends while
// it starts is obeyed once it has started.
func Run(ctx context.Context, options ...fx.Option) error {
	a := fx.New(append(options, fx.NopLogger)...)
	if err := a.Err(); err != nil {
		return dig.RootCause(err) // without the constructors that led there
	}
	ended := a.Wait()
	if err := start(ctx, a); err != nil {
		_ = stop(ctx, a) // fx has undone the start, but listens to signals still
		return err
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	return stop(ctx, a)
}

// start isn't ended by ctx: fx would undo what has started with the same ctx, and so not at all.
func start(ctx context.Context, a *fx.App) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.StartTimeout())
	defer cancel()
	return a.Start(ctx)
}

func stop(ctx context.Context, a *fx.App) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.StopTimeout())
	defer cancel()
	return a.Stop(ctx)
}
