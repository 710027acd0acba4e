package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"time"
)

// errWaited ends a wait that took as long as it may.
var errWaited = errors.New("not acquired in the time given by --wait")

// interrupted is the signal that ended the wait.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return "not acquired: " + i.String() }

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
