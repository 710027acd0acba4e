// Package child runs a command that must not go on when its context has ended.
package child

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"golang.org/x/term"

	"github.com/stile-dev/stile/cmd/stile/internal/proc"
)

// Command is a command to run.
type Command struct {
	Path string   // as exec.LookPath finds it
	Args []string // with the name that it is called by
	Env  []string // in addition to this process's; these win
	// Grace is the time between being asked to end and being killed. 0 kills at once.
	Grace time.Duration
	// Signals are passed on.
	Signals <-chan os.Signal
}

// Run runs the command with this process's standard streams and returns its exit code. When ctx ends the command is
// asked to end, and killed if it hasn't after Grace, with all of its process group; Run returns when it has ended.
//
// A command that has a terminal for its input stays in this process's group, or it could not read from there: signals then reach
// the command alone, and those from the keyboard are not passed on, for the terminal sends them to it by itself.
func (c Command) Run(ctx context.Context) (code int, err error) {
	cmd := &exec.Cmd{Path: c.Path, Args: c.Args, Env: append(os.Environ(), c.Env...)}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	group := !term.IsTerminal(int(os.Stdin.Fd()))
	if group {
		proc.Own(cmd)
	}
	proc.Tie(cmd)
	proc.Thread(func() {
		if err = cmd.Start(); err == nil {
			code = c.watch(ctx, cmd, group)
		}
	})
	return code, err
}

func (c Command) watch(ctx context.Context, cmd *exec.Cmd, group bool) int {
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.control(ctx, cmd.Process, group, ended)
	}()
	_ = cmd.Wait() // the state tells more
	close(ended)
	<-watched
	return proc.ExitCode(cmd.ProcessState)
}

// control passes signals on, and ends the process with ctx.
func (c Command) control(ctx context.Context, p *os.Process, group bool, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			c.end(p, group, ended)
			return
		case sig := <-c.Signals:
			if group || !proc.FromKeyboard(sig) {
				_ = proc.Signal(p, sig, group) // that it has just ended is what the loop waits for
			}
		}
	}
}

func (c Command) end(p *os.Process, group bool, ended <-chan struct{}) {
	defer proc.Kill(p, group) //nolint:errcheck // what is left of its group; usually nothing is
	if c.Grace <= 0 {
		return
	}
	_ = proc.Terminate(p, group)
	grace := time.NewTimer(c.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
	}
}

// The exit codes of what could not be run, as env(1) and timeout(1) have them.
const (
	CodeCannotRun = 126
	CodeNotFound  = 127
)

// StartCode is the exit code for an error of exec.LookPath or of starting.
func StartCode(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return CodeNotFound
	}
	return CodeCannotRun
}
