package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/stile-dev/stile/cmd/stile/internal/child"
	"github.com/stile-dev/stile/cmd/stile/internal/proc"
	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// wrapper runs one command under one lock.
type wrapper struct {
	options lockOptions
	name    string
	session *session.Session
	command child.Command

	started bool  // the command ran
	code    int   // its exit code
	lost    error // why the lock wasn't held any more when the command had ended, if so

	wait *wait
	why  func(error) error // says more about an error of reaching etcd
}

func (w *wrapper) run(ctx context.Context) error {
	defer w.close(ctx)
	signals := make(chan os.Signal, 16)
	for _, sig := range proc.Forwarded() {
		if !signal.Ignored(sig) { // nohup
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)
	w.command.Signals = signals
	w.wait = newWait(ctx, w.options.wait, signals)
	defer w.wait.cancel(nil)
	err := w.hold(w.wait.ctx, func(ctx context.Context) error {
		if err := w.wait.over(); err != nil {
			return err
		}
		return w.work(ctx)
	})
	return w.outcome(err)
}

// close takes no longer than the session's cleanup does: etcd may be away.
func (w *wrapper) close(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_ = w.session.Close(ctx) // what it can't tell etcd ends with the lease
}

// hold runs work under the lock.
func (w *wrapper) hold(ctx context.Context, work func(context.Context) error) error {
	if err := w.session.Start(ctx); err != nil {
		return w.unanswered(err)
	}
	if w.options.nonblock {
		return lock.TryDo(ctx, w.session, w.name, work)
	}
	return lock.Do(ctx, w.session, w.name, work)
}

func (w *wrapper) work(ctx context.Context) error {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		return err
	}
	w.command.Env = []string{"STILE_LOCK_NAME=" + w.name, "STILE_FENCING_TOKEN=" + claim.Token.String()}
	w.code, err = w.command.Run(ctx)
	if err != nil {
		return &exitCode{child.StartCode(err), err}
	}
	w.started = true
	w.lost = believed(ctx)
	w.wait.cancel(nil) // the command is waited for no more: etcd gets the time of a cleanup to hear of the release
	return nil
}

// believed is nil as long as the hold of ctx is. It reads the clock, and so is right even in a process that has just been resumed.
func believed(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, err := fencing.FromContext(ctx)
	return err
}

// unanswered is the error of a session that didn't open: however long that was waited for, nobody is known to have the lock.
func (w *wrapper) unanswered(err error) error {
	if stopped := (interrupted{}); errors.As(err, &stopped) {
		return err
	}
	return &exitCode{exitWrapper, fmt.Errorf("lock %q: %w", w.name, w.why(err))}
}

// outcome is the exit code for what became of the lock and of the command. A command that had ended while the lock was believed
// to be held wasn't stopped, whatever became of the release.
func (w *wrapper) outcome(err error) error {
	var stopped interrupted
	var exit *exitCode
	switch {
	case w.lost != nil:
		return &exitCode{exitLost, fmt.Errorf("%w; the command was stopped", cmp.Or(err, w.lost))}
	case w.started:
		if err != nil {
			fmt.Fprintf(os.Stderr, "stile: %v\n", err)
		}
		return &exitCode{code: w.code}
	case errors.As(err, &exit):
		return exit
	case errors.Is(err, session.ErrLost):
		return &exitCode{exitLost, fmt.Errorf("%w; the command was not started", err)}
	case errors.As(err, &stopped):
		return &exitCode{128 + proc.Number(stopped.Signal), fmt.Errorf("lock %q: %w", w.name, stopped)}
	case errors.Is(err, errWaited):
		return &exitCode{w.options.conflict, fmt.Errorf("lock %q: not acquired within %v (--wait)", w.name, w.options.wait)}
	case errors.Is(err, lock.ErrHeld):
		return &exitCode{w.options.conflict, err}
	}
	return &exitCode{exitWrapper, err}
}
