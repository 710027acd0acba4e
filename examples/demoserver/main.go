// Command demoserver is an fx application with a server of its own. Three workers contend for the lock "ledger", and so
// can you, from another terminal. Ctrl-C stops it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

func main() {
	fx.New(
		fx.WithLogger(errorsOnly),
		serverfx.Server(server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}}),
		stilefx.Session(),
		fx.Provide(newLedger),
		worker("ann"), worker("ben"), worker("cleo"),
		stilefx.Run("hello", hello),
		stilefx.Run("page", servePage),
	).Run()
}

type needs struct {
	fx.In
	Session *session.Session
	Ledger  *ledger
}

// worker writes to the ledger whenever it has the lock. Of each turn one message is late: it arrives in the next one,
// when others have written since. The plain file takes it; the fenced one has seen a larger token.
func worker(name string) fx.Option {
	return stilefx.Run(name, func(ctx context.Context, d needs) error {
		var late func() error
		for turn := 1; ; turn++ {
			err := lock.Do(ctx, d.Session, "ledger", func(ctx context.Context) error {
				if late != nil {
					if err := late(); err != nil && !errors.Is(err, fencing.ErrStale) {
						return err
					}
				}
				late = d.Ledger.message(ctx, fmt.Sprintf("%s, turn %d, late", name, turn))
				if err := d.Ledger.message(ctx, fmt.Sprintf("%s, turn %d", name, turn))(); err != nil {
					return err
				}
				return work(ctx)
			})
			if err != nil && !errors.Is(err, session.ErrLost) { // after a loss the next turn has a new lease
				return err
			}
		}
	})
}

func work(ctx context.Context) error {
	select {
	case <-time.After(300 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type guide struct {
	fx.In
	Server *server.Server
	Ledger *ledger
}

func hello(_ context.Context, g guide) error {
	endpoint := g.Server.Endpoints()[0]
	fmt.Printf("etcd at %s\n\nFrom another terminal:\n\n", endpoint)
	fmt.Printf("  go run ./cmd/stile ls --endpoint %s\n", endpoint)
	fmt.Printf("  go run ./cmd/stile lock ledger --endpoint %s -- sleep 5\n", endpoint)
	fmt.Printf("  go run ./cmd/stile lock ledger --endpoint %s -- tail %s\n\n", endpoint, g.Ledger.plain.Name())
	return nil
}

func errorsOnly() fxevent.Logger {
	return &fxevent.SlogLogger{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
}
