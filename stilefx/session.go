package stilefx

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/stilefx/internal/hooks"
)

// Session provides a *session.Session on the application's *clientv3.Client. It has its lease when the application has
// started; the start fails if etcd doesn't grant one. When the application stops the session is closed: what is still
// held is given back, and the lease is revoked.
func Session(opts ...session.Option) fx.Option {
	return fx.Provide(func(lc fx.Lifecycle, client *clientv3.Client) (*session.Session, error) {
		s, err := session.New(client, opts...)
		if err != nil {
			return nil, err
		}
		lc.Append(fx.Hook{
			OnStart: func(ctx context.Context) error { return open(ctx, s) },
			OnStop:  func(ctx context.Context) error { return shut(ctx, s) },
		})
		return s, nil
	})
}

// open closes the session itself if it doesn't start: fx stops only what has started, and the lease may still come.
func open(ctx context.Context, s *session.Session) error {
	short, cancel := hooks.Spare(ctx)
	defer cancel()
	if err := s.Start(short); err != nil {
		_ = shut(ctx, s) // the error that matters is the first
		return err
	}
	return nil
}

// shut waits for Close no longer than there is time. While etcd is away Close may go on for longer, though for no more
// than the session's cleanup timeout; the hooks that are left needn't wait for that.
func shut(ctx context.Context, s *session.Session) error {
	ctx, cancel := hooks.Spare(ctx)
	defer cancel()
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := hooks.Spare(ctx) // so that after waiting for work there is time to give back
		defer cancel()
		closed <- s.Close(ctx)
	}()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("session: still closing: %w", ctx.Err())
	}
}
