package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

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

	started bool // the command ran
	code    int  // its exit code
}

// errWaited ends a wait that took as long as it may.
var errWaited = errors.New("not acquired in the time given by --wait")

// interrupted is the signal that ended the wait.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return "not acquired: " + i.String() }

func (w *wrapper) run(ctx context.Context) error {
	defer w.session.Close(ctx)
	signals := make(chan os.Signal, 16)
	for _, sig := range proc.Forwarded() {
		if !signal.Ignored(sig) { // nohup
			signal.Notify(signals, sig)
		}
	}
	defer signal.Stop(signals)
	w.command.Signals = signals
	wait := newWait(ctx, w.options.wait, signals)
	defer wait.cancel(nil)
	err := w.hold(wait.ctx, func(ctx context.Context) error {
		if err := wait.over(); err != nil {
			return err
		}
		return w.work(ctx)
	})
	return w.outcome(err)
}

// hold runs work under the lock.
func (w *wrapper) hold(ctx context.Context, work func(context.Context) error) error {
	if err := w.session.Start(ctx); err != nil {
		return unanswered(err)
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
	return nil
}

// unanswered is the error of a session that didn't open: however long that was waited for, nobody is known to have the lock.
func unanswered(err error) error {
	if stopped := (interrupted{}); errors.As(err, &stopped) {
		return err
	}
	if errors.Is(err, errWaited) {
		err = errors.New("etcd did not answer in the time given by --wait")
	}
	return &exitCode{exitWrapper, err}
}

// outcome is the exit code for what became of the lock and of the command.
func (w *wrapper) outcome(err error) error {
	var stopped interrupted
	var exit *exitCode
	switch {
	case errors.Is(err, session.ErrLost):
		return &exitCode{exitLost, fmt.Errorf("%w; the command was stopped", err)}
	case w.started:
		if err != nil {
			fmt.Fprintf(os.Stderr, "stile: %v\n", err)
		}
		return &exitCode{code: w.code}
	case errors.As(err, &exit):
		return exit
	case errors.As(err, &stopped):
		return &exitCode{128 + proc.Number(stopped.Signal), err}
	case errors.Is(err, errWaited), errors.Is(err, lock.ErrHeld):
		return &exitCode{w.options.conflict, err}
	}
	return &exitCode{exitWrapper, err}
}

// wait is the time before the command starts, which a signal or a timer ends.
type wait struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stop   chan struct{}
	done   chan struct{}
}

func newWait(ctx context.Context, limit time.Duration, signals chan os.Signal) *wait {
	w := &wait{stop: make(chan struct{}), done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	if limit > 0 {
		w.timer = time.AfterFunc(limit, func() { w.cancel(errWaited) })
	}
	go w.listen(signals)
	return w
}

func (w *wait) listen(signals chan os.Signal) {
	defer close(w.done)
	select {
	case sig := <-signals:
		signal.Stop(signals) // the next one ends this process
		w.cancel(interrupted{sig})
	case <-w.stop:
	case <-w.ctx.Done():
	}
}

// over ends the wait, and tells what had ended it before. From its return on, only the lock ends the context of the work.
func (w *wait) over() error {
	if w.timer != nil && !w.timer.Stop() {
		w.cancel(errWaited) // what the timer does, maybe not yet
	}
	close(w.stop)
	<-w.done
	return context.Cause(w.ctx)
}
