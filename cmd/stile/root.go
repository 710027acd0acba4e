package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes that mean something of their own; any other error is 1.
const (
	exitError = 1
	exitUsage = 64 // EX_USAGE of sysexits.h
)

// run is the command: it returns the exit code.
func run(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	var exit *exitCode
	if errors.As(err, &exit) && exit.err == nil {
		return exit.code
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "stile: %v\n", err)
	}
	switch {
	case err == nil:
		return 0
	case exit != nil:
		return exit.code
	}
	return exitError
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "stile COMMAND",
		Short:         "Locks and other coordination on etcd, from a shell",
		Long:          "Stile runs an etcd server, holds locks on it while a command runs, and shows what that is worth: stile demo.",
		SilenceErrors: true,
		SilenceUsage:  true,

		DisableFlagsInUseLine: true,
		Args:                  noSuchCommand,
		Version:               builtFrom().String(),

		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, "%w", err) })
	conn := new(connection)
	conn.addFlags(root)
	root.AddCommand(
		unconnected(newServe()),
		newLock(conn),
		newLs(conn),
		unconnected(newDemo()),
		unconnected(newDemoWorker()),
		unconnected(newVersion()),
	)
	root.SetVersionTemplate("stile {{.Version}}\n")
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]",
		"{{if and .HasAvailableSubCommands (not .Runnable)}}\n  {{.CommandPath}} [command]", 1))
	root.SetHelpCommand(newHelp())
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			unconnected(cmd)
		}
	}
	return root
}

func newHelp() *cobra.Command {
	return unconnected(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return usageError(cmd.Root(), "%w", err)
			case len(rest) > 0:
				return noSuchCommand(about, rest)
			}
			about.InitDefaultHelpFlag() // or it isn't shown
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	})
}

// noSuchCommand is what the root does with arguments: none of them was a command.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError(cmd, "no command %q; did you mean %s?", args[0], strings.Join(near, ", "))
	}
	return usageError(cmd, "no command %q", args[0])
}

// noArgs is for commands that take flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd, "takes no arguments, got %q", args[0])
	}
	return nil
}

// exitCode is an error with an exit code of its own. Without err it is the code alone: all has been said.
type exitCode struct {
	code int
	err  error
}

func (e *exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitCode) Unwrap() error { return e.err }

// usageError says what was wrong with the command line, and where to read what is right.
func usageError(cmd *cobra.Command, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &exitCode{exitUsage, fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
}

// again is how soon after the first a second signal is the same one: some senders signal a process and its group.
const again = time.Second

// untilSignal ends with the first SIGINT or SIGTERM. A second one, a while later, kills, as if nobody had listened.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		time.AfterFunc(again, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })
	})
	return ctx, stop
}
