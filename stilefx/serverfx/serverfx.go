// Package serverfx runs a stile server inside an fx application.
//
//	fx.New(
//		serverfx.Server(server.Config{DataDir: "/var/lib/stile"}),
//		stilefx.Session(),
//		stilefx.Run("worker", work),
//	).Run()
//
// Server also provides the client of this process, which needs no socket, so that sessions work on it. An application
// that reaches etcd in another way, over TCP or elsewhere, takes ServerOnly, and stilefx.Client for its client:
//
//	fx.New(
//		serverfx.ServerOnly(cfg), // first
//		stilefx.Module(clientv3.Config{Endpoints: cfg.ClientURLs, TLS: tls}),
//		stilefx.Run("worker", work),
//	).Run()
//
// It is apart from stilefx because it links etcd's server.
package serverfx

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx/internal/hooks"
)

// Server is ServerOnly and provides the server's in-process *clientv3.Client. What uses that client starts after the
// server and stops before it, wherever it is listed. Closing the server closes the client.
func Server(cfg server.Config) fx.Option {
	return fx.Options(
		ServerOnly(cfg),
		fx.Provide(func(s *server.Server) *clientv3.Client { return s.Client() }),
	)
}

// ServerOnly provides a *server.Server, which starts and stops with the application even if nothing else needs it. If it
// stops by itself the application stops, with exit code 1, and the reason is returned by the application's Stop.
//
// A client over TCP does not depend on the server in fx's eyes. To have it start after the server and close before it,
// list ServerOnly first.
func ServerOnly(cfg server.Config) fx.Option {
	return fx.Module("stile server", // a module, because fx invokes those before anything else
		fx.Provide(func(lc fx.Lifecycle, sd fx.Shutdowner) (*server.Server, error) {
			s, err := server.New(cfg)
			if err != nil {
				return nil, err
			}
			watch(lc, sd, s)
			return s, nil
		}),
		fx.Invoke(func(*server.Server) {}),
	)
}

// member is a *server.Server. Tests have one that dies when they wish.
type member interface {
	Start(ctx context.Context) error
	Close(ctx context.Context) error
	Done() <-chan struct{}
	Err() error
}

// watched is a server whose end is the application's.
type watched struct {
	member     member
	shutdowner fx.Shutdowner
	done       chan struct{}
}

func watch(lc fx.Lifecycle, sd fx.Shutdowner, m member) {
	w := &watched{member: m, shutdowner: sd, done: make(chan struct{})}
	lc.Append(fx.Hook{OnStart: w.start, OnStop: w.stop})
}

func (w *watched) start(ctx context.Context) error {
	ctx, cancel := hooks.Spare(ctx)
	defer cancel()
	if err := w.member.Start(ctx); err != nil {
		return err
	}
	go w.wait()
	return nil
}

func (w *watched) wait() {
	defer close(w.done)
	<-w.member.Done()
	if w.member.Err() != nil {
		hooks.Halt(w.shutdowner)
	}
}

func (w *watched) stop(ctx context.Context) error {
	ctx, cancel := hooks.Spare(ctx)
	defer cancel()
	err := w.member.Close(ctx)
	<-w.done // soon: a server that closes is Done first of all
	return errors.Join(w.member.Err(), err)
}
