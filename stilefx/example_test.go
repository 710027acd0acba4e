package stilefx_test

import (
	"context"
	"fmt"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

func ExampleRun() {
	writing := make(chan struct{})
	app := fx.New(
		fx.NopLogger,
		serverfx.Server(server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}}),
		stilefx.Session(),
		stilefx.Run("report", func(ctx context.Context, s *session.Session) error {
			return lock.Do(ctx, s, "reports/nightly", func(ctx context.Context) error {
				fmt.Println("writing the report")
				close(writing)
				<-ctx.Done() // it is a long one
				fmt.Println("not finished:", context.Cause(ctx))
				return ctx.Err()
			})
		}),
	)
	if err := app.Start(context.Background()); err != nil { // Run does this, waits for Ctrl-C, and stops
		fmt.Println(err)
	}
	<-writing
	if err := app.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// writing the report
	// not finished: the application stops
}
