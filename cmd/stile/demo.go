package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/stile-dev/stile/cmd/stile/internal/demo"
	"github.com/stile-dev/stile/cmd/stile/internal/proc"
)

const demoHelp = `Show what a lock and a fencing token are worth, on a server of its own.

Three processes contend for one lock. One is stopped while it holds it, and writes too late; one is
killed. An observer reads what they have written, and says what it sees. It takes a few
seconds, needs nothing, and leaves nothing behind.

The exit code is 0 only if everything that the demo says was seen.`

const exitInterrupted = 130

func newDemo() *cobra.Command {
	var o demo.Options
	var serve bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what a lock and a fencing token are worth",
		Long:  demoHelp,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			proc.SurvivePipes() // or there is nobody to clean up
			ctx, cancel := untilSignal(cmd.Context())
			defer cancel()
			if serve {
				return demo.Serve(ctx, o)
			}
			err := demo.Run(ctx, o)
			if errors.Is(err, demo.ErrInterrupted) {
				return &exitCode{exitInterrupted, err}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.JSON, "json", false, "print a JSON object a line for each event")
	f.BoolVar(&serve, "serve", false, "keep it going until Ctrl-C, with a page to watch it on")
	f.BoolVar(&o.NoGate, "no-gate", false, "let the fenced ledger refuse nothing: the demo must notice")
	f.Lookup("no-gate").Hidden = true
	return cmd
}

// newDemoWorker is what the demo starts, not people.
func newDemoWorker() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-worker",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo.Work(cmd.Context(), os.Stdin, os.Stdout)
		},
	}
}
