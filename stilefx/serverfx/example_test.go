package serverfx_test

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

func ExampleServer() {
	held := make(chan struct{})
	app := fx.New(
		fx.NopLogger,
		serverfx.Server(server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}}),
		stilefx.Session(),
		stilefx.Run("worker", func(ctx context.Context, s *session.Session) error {
			return lock.Do(ctx, s, "ledger", func(ctx context.Context) error {
				close(held)
				<-ctx.Done()
				return ctx.Err()
			})
		}),
		fx.Invoke(func(srv *server.Server, client *clientv3.Client, lc fx.Lifecycle) {
			lc.Append(fx.StartHook(func(ctx context.Context) error {
				<-held
				state, err := lock.Inspect(ctx, client, "ledger")
				fmt.Println(len(srv.Endpoints()), "endpoint, the ledger is held:", state.Holder != nil)
				return err
			}))
		}),
	)
	if err := app.Start(context.Background()); err != nil { // Run does this, waits for Ctrl-C, and stops
		fmt.Println(err)
	}
	if err := app.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: 1 endpoint, the ledger is held: true
}
