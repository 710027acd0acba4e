package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// When the workers of demo --serve meet with something.
const (
	pauseEvery = 8 * time.Second
	crashEvery = 21 * time.Second
	pauseFor   = ttl + time.Second // long enough for somebody else to take the lock over and write
	betweenOps = 400 * time.Millisecond

	startAfter     = time.Second // before a worker is replaced; doubled while they die at once
	startAfterMost = 30 * time.Second
)

// shifts is the work of the crew in demo --serve: the workers take turns, and sometimes one is stopped or killed.
type shifts struct {
	stage
	ready func()

	mu        sync.Mutex
	nextPause time.Time
	nextCrash time.Time
}

var errCrashed = errors.New("it crashed")

// run works until ctx ends.
func (s *shifts) run(ctx context.Context) error {
	now := time.Now()
	s.nextPause, s.nextCrash = now.Add(pauseEvery/2), now.Add(crashEvery/2)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, name := range []string{"A", "B", "C"} {
		w, err := s.start(ctx, name)
		if err != nil {
			cancel(err)
			break
		}
		all.Go(func() { cancel(s.shift(ctx, w)) })
	}
	if ctx.Err() == nil {
		s.ready()
	}
	all.Wait()
	return context.Cause(ctx)
}

func (s *shifts) start(ctx context.Context, name string) (*process, error) {
	w, err := s.Crew.start(ctx, name)
	if err == nil {
		s.by(w, Event{Event: eventStarted, Text: fmt.Sprintf("starts, as process %d", w.pid())})
	}
	return w, err
}

// shift is one worker's life, and that of those who replace it. It returns when ctx has ended or nobody can be started.
func (s *shifts) shift(ctx context.Context, w *process) error {
	return life{
		turn: func(ctx context.Context) error { return s.turn(ctx, w) },
		dismiss: func(why error) {
			s.by(w, Event{Event: eventReplaced, Text: "ended, and is started again: " + why.Error()})
			_ = s.Crew.dismiss(w) // it has died, or it does now
		},
		start: func(ctx context.Context) (err error) {
			w, err = s.start(ctx, w.name)
			return err
		},
	}.run(ctx)
}

// life is turn after turn. Whoever fails in one is replaced.
type life struct {
	turn    func(context.Context) error
	dismiss func(why error)
	start   func(context.Context) error
}

// run rests before each start, the longer the more turns in a row have failed.
func (l life) run(ctx context.Context) error {
	for failed := 0; ; {
		err := l.turn(ctx)
		if err == nil || errors.Is(err, errLost) {
			failed = 0
			err = rest(ctx, betweenOps+rand.N(betweenOps))
		}
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			continue
		}
		l.dismiss(err)
		failed++
		if err := rest(ctx, min(startAfter<<min(failed-1, 10), startAfterMost)); err != nil {
			return err
		}
		if err := l.start(ctx); err != nil {
			return err
		}
	}
}

// turn has w hold the lock once and write a line or two.
func (s *shifts) turn(ctx context.Context, w *process) error {
	holds, err := w.ask(ctx, tellWork, sayHolds)
	if err != nil {
		return err
	}
	for range 1 + rand.N(3) {
		if err := rest(ctx, betweenOps); err != nil {
			return err
		}
		if _, err := w.ask(ctx, tellWrite, sayChecked); err != nil {
			return err
		}
		switch s.trouble() {
		case eventPaused:
			return s.pauseInWrite(ctx, w, holds)
		case eventKilled:
			s.by(w, Event{Event: eventKilled, Token: holds.Token, Text: fmt.Sprintf("is killed while it holds the lock, with token %s", holds.Token)})
			return errors.Join(errCrashed, w.kill())
		}
		if _, err := w.ask(ctx, tellGo, sayWrote); err != nil {
			return err
		}
	}
	_, err = w.ask(ctx, tellRelease, sayReleased)
	return err
}

// pauseInWrite stops w between its look at the lock and its write, for longer than its lease lives.
func (s *shifts) pauseInWrite(ctx context.Context, w *process, holds report) error {
	if err := w.pause(); err != nil {
		return err
	}
	s.by(w, Event{Event: eventPaused, Token: holds.Token, Text: fmt.Sprintf("is stopped for %v, about to write with token %s", pauseFor, holds.Token)})
	if err := rest(ctx, pauseFor); err != nil {
		return err
	}
	if err := w.tell(tellGo); err != nil {
		return err
	}
	if err := w.resume(); err != nil {
		return err
	}
	r, err := w.wait(ctx, sayWrote)
	if err != nil {
		return err
	}
	if refused := r.Refused; refused != nil {
		text := fmt.Sprintf("goes on and writes: the plain ledger takes it; the fenced one refuses token %s, having seen %s", refused.Presented, refused.Seen)
		s.by(w, Event{Event: eventRefused, Token: refused.Presented, Seen: refused.Seen, Ledger: "fenced", Text: text})
	}
	_, err = w.wait(ctx, sayLost)
	return err
}

// trouble says what is due to happen to whoever asks, if anything is.
func (s *shifts) trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case now.After(s.nextPause):
		s.nextPause = now.Add(pauseEvery)
		return eventPaused
	case now.After(s.nextCrash):
		s.nextCrash = now.Add(crashEvery)
		return eventKilled
	}
	return ""
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
