package demo

import (
	"context"
	"errors"
	"os"
	"strings"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/cmd/stile/internal/app"
	"github.com/stile-dev/stile/cmd/stile/internal/proc"
	"github.com/stile-dev/stile/cmd/stile/internal/term"
	"github.com/stile-dev/stile/stilefx"
)

const introServe = `Three worker processes append to two ledgers while they hold one lock, until you press Ctrl-C. Now
and then one is stopped in the middle of a write, or killed.

`

// Serve keeps the server, the workers and the ledgers going until ctx ends, and shows them on a page.
func Serve(ctx context.Context, o Options) error {
	if !proc.CanPause {
		return errSystem
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	s := newScreen(o, lost)
	s.text(introServe)
	err := app.Run(ctx, theatre(s, o), fx.Provide(newPage), stilefx.Run("shifts", func(ctx context.Context, d struct {
		fx.In
		Stage stage
		Page  *page
	},
	) error {
		return (&shifts{stage: d.Stage, ready: func() { invite(s, d.Stage.Server.Endpoints()[0], d.Page.url()) }}).run(ctx)
	}))
	if unread := unread(ctx); unread != nil {
		return errors.Join(unread, err)
	}
	if err == nil {
		s.show(Event{Event: eventDone, Text: "stopped, and all is cleaned up"})
	}
	return err
}

// invite says what there is to see and to try.
func invite(s *screen, endpoint, page string) {
	s.show(Event{Event: eventReady, Endpoint: endpoint, Page: page, Text: "watch it at " + page})
	bold := func(text string) string { return s.style.In(term.Bold, text) }
	command := program()
	s.text("\nFrom another terminal:\n")
	for _, try := range [][2]string{
		{"ls --endpoint " + endpoint, "who holds the lock, who waits"},
		{"lock " + lockName + " --endpoint " + endpoint + " -- sleep 5", "get in line, and keep them all waiting for 5 s"},
		{"lock " + lockName + " --endpoint " + endpoint + " -n -- true", "don't wait: exit 75, somebody holds it"},
	} {
		s.text("    %s\n        %s\n", bold(command+" "+try[0]), s.style.In(term.Faint, try[1]))
	}
	s.text("\n")
}

// program is how this program is called.
func program() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/stile"
	}
	return os.Args[0]
}
