package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/cmd/stile/internal/app"
	"github.com/stile-dev/stile/cmd/stile/internal/proc"
	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

// Options are what can be chosen about the demo.
type Options struct {
	Out  io.Writer
	JSON bool
	// NoGate has the fenced ledger refuse nothing. The demo then notices.
	NoGate bool
}

// limit is how long the demo may take; it takes a third of that.
const limit = 30 * time.Second

var (
	// ErrInterrupted says that the demo was ended before it was over.
	ErrInterrupted = errors.New("interrupted before the end")

	errSystem = errors.New("the demo stops processes and resumes them, which this system can't do (Linux and macOS can)")
	errSlow   = fmt.Errorf("not over within %v", limit)
)

const intro = `One lock; three worker processes, which append to two ledgers while they hold it.
The plain ledger is a file. The fenced ledger takes the holder's token with each line, and refuses
one that is smaller than what it has seen.

`

// Run shows the demo. It is nil only if everything that it claims was seen.
func Run(ctx context.Context, o Options) error {
	if !proc.CanPause {
		return errSystem
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	s := newScreen(o, lost)
	s.text(intro)
	result := ErrInterrupted
	err := app.Run(ctx, theatre(s, o), stilefx.Run("scenario", func(ctx context.Context, p struct {
		fx.In
		Stage      stage
		Shutdowner fx.Shutdowner
	},
	) error {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
		defer cancel()
		if err := (&play{stage: p.Stage}).run(ctx); !errors.Is(err, stilefx.ErrStopping) {
			result = err
		}
		_ = p.Shutdowner.Shutdown() // it fails if the application stops already
		return nil
	}))
	if unread := unread(ctx); unread != nil {
		return errors.Join(unread, err)
	}
	if err != nil && errors.Is(result, ErrInterrupted) {
		return err // why it was
	}
	if err := errors.Join(result, err); err != nil {
		return err
	}
	s.text("\n")
	s.show(Event{Event: eventDone, Text: "all of it was seen, and all is cleaned up. See it go on: stile demo --serve"})
	return unread(ctx)
}

// theatre provides the stage.
func theatre(s *screen, o Options) fx.Option {
	return fx.Options(
		serverfx.Server(server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}}),
		fx.Supply(s),
		fx.Provide(newLedgers, newGate(o.NoGate), newCrew),
	)
}
