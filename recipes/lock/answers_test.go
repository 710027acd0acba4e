package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// TestLostAnswers loses the answer of each request of each call, in turn. Afterwards the result was right, or the error says that it is not
// known or that the caller's time was over; nobody else's hold was touched; no ghost stands in line; a rival gets the lock; and once the
// sessions are closed no key is left, and no lease but one of whose grant the client has never heard.
func TestLostAnswers(t *testing.T) {
	all := map[string]func(*answers.Case){}
	for what, scenarios := range map[string]map[string]func(*answers.Case){
		"Acquire": lostAnswersOfAcquire(), "TryAcquire": lostAnswersOfTryAcquire(), "giving up": lostAnswersOfGivingUp(), "Do": lostAnswersOfDo(),
		"AcquireAll": lostAnswersOfAcquireAll(), "Release": lostAnswersOfRelease(), "Txn": lostAnswersOfTxn(), "Close": lostAnswersOfClose(), "Inspect": lostAnswersOfInspect(),
	} {
		for name, scenario := range scenarios {
			all[what+", "+name] = scenario
		}
	}
	answers.Each(t, all)
}

// acquire is a case of Acquire or TryAcquire, of a lock that is free, or will be through what is done meanwhile.
func (s *subject) acquire(get func(context.Context, *session.Session, string, ...lock.Option) (*lock.Held, error), meanwhile func()) {
	s.Helper()
	var held *lock.Held
	var err error
	s.while(func(ctx context.Context) { held, err = get(ctx, s.session, "x") }, meanwhile)
	s.got(held, err)
}

func lostAnswersOfAcquire() map[string]func(*answers.Case) {
	delayed := func(ctx context.Context, s *session.Session, name string, _ ...lock.Option) (*lock.Held, error) {
		return lock.Acquire(ctx, s, name, lock.Delay(time.Hour)) // a key that is left would stay
	}
	return map[string]func(*answers.Case){
		"free, with a delay": withSessions(func(s *subject) { s.acquire(delayed, func() {}) }),
		"held, with a delay": withSessions(func(s *subject) {
			first := s.gets(s.rival)
			s.acquire(delayed, func() {
				s.sends(2)
				s.release(first)
			})
		}),
		"free": withSessions(func(s *subject) {
			s.acquire(lock.Acquire, func() {})
		}),
		"free, and the lease is not open": func(c *answers.Case) {
			s := newSubject(c)
			s.unsure = true
			s.acquire(lock.Acquire, func() {})
		},
		"held": withSessions(func(s *subject) {
			first := s.gets(s.rival)
			s.acquire(lock.Acquire, func() {
				s.sends(2) // the join and the look
				s.release(first)
			})
		}),
		"held, and who is in front gives up": withSessions(func(s *subject) {
			s.Racy = true // it may hear of both at once
			first := s.gets(s.rival)
			_, giveUp := s.waiter()
			s.acquire(lock.Acquire, func() {
				s.sends(2)
				giveUp()
				s.sends(3) // the look at whom that one stood behind
				s.release(first)
			})
		}),
		"held, and who is in front crashes": withSessions(func(s *subject) {
			first := s.gets(s.rival)
			crash := s.doomed(1)
			s.acquire(lock.Acquire, func() {
				s.sends(2)
				crash()
				s.pauses() // history is asked, the holder found and looked at
				s.release(first)
			})
		}),
		"held, and the holder crashes": withSessions(func(s *subject) {
			first := s.gets(s.other())
			s.acquire(lock.Acquire, func() {
				s.sends(2)
				s.crash(first)
			})
		}),
	}
}

// lostAnswersOfAcquireAll: x and y at once.
func lostAnswersOfAcquireAll() map[string]func(*answers.Case) {
	all := func(ctx context.Context, by *session.Session, _ string, _ ...lock.Option) (*lock.Held, error) {
		return lock.AcquireAll(ctx, by, "x", "y")
	}
	// with is a case in which somebody else has locks at first.
	with := func(play func(s *subject)) func(*answers.Case) {
		return withSessions(func(s *subject) {
			s.names = []string{"x", "y"}
			play(s)
		})
	}
	other := func(s *subject, name string) *lock.Held {
		s.Helper()
		held, err := lock.Acquire(s.Context(), s.rival, name)
		if err != nil {
			s.Fatal(err)
		}
		return held
	}
	return map[string]func(*answers.Case){
		"free": with(func(s *subject) { s.acquire(all, func() {}) }),
		"the first held": with(func(s *subject) {
			first := other(s, "x")
			s.acquire(all, func() {
				s.sends(2)
				s.release(first)
			})
		}),
		"both held": with(func(s *subject) {
			x, y := other(s, "x"), other(s, "y")
			s.acquire(all, func() {
				s.sends(2)
				s.release(x)
				s.sends(3)
				s.release(y)
			})
		}),
		"given up": with(func(s *subject) {
			x := other(s, "y")
			s.giveUp(all, func() {})
			s.Eventually("nobody waits", func() bool { return len(s.stateOf("y").Waiters) == 0 && s.state().Holder == nil })
			s.Reach(answers.Got)
			s.release(x)
			s.end()
		}),
		"released": with(func(s *subject) {
			held, err := all(s.Context(), s.session, "")
			if err != nil {
				s.Fatal(err)
			}
			s.Call(func(ctx context.Context) { err = held.Release(ctx) })
			if err != nil && (!s.Form.Hurried || !errors.Is(err, session.ErrUnknownOutcome)) {
				s.Errorf("Release = %v", err)
			}
			s.Reach(answers.Got)
			s.end()
		}),
	}
}

func lostAnswersOfTryAcquire() map[string]func(*answers.Case) {
	refused := func(s *subject, first *lock.Held) {
		s.bounded = true
		var err error
		s.Call(func(ctx context.Context) { _, err = lock.TryAcquire(ctx, s.session, "x") })
		if !errors.Is(err, lock.ErrHeld) {
			s.excused(err)
		}
		s.Eventually("nobody waits", func() bool { return len(s.state().Waiters) == 0 })
		s.Reach(answers.Got)
		s.holds(first)
		s.release(first)
		s.end()
	}
	return map[string]func(*answers.Case){
		"free": withSessions(func(s *subject) {
			s.bounded = true
			s.acquire(lock.TryAcquire, func() {})
		}),
		"free, tail names a dead one": withSessions(func(s *subject) {
			s.bounded = true
			s.crash(s.gets(s.other()))
			s.acquire(lock.TryAcquire, func() {})
		}),
		"free, tail names a mark": withSessions(func(s *subject) {
			s.bounded = true
			s.mark(s.gets(s.other()))
			s.acquire(lock.TryAcquire, func() {})
		}),
		"held": withSessions(func(s *subject) {
			refused(s, s.gets(s.rival))
		}),
		"held, tail names a dead one": withSessions(func(s *subject) {
			s.Racy = true // it tidies up in the background
			first := s.gets(s.rival)
			s.doomed(1)()
			refused(s, first)
		}),
	}
}

func lostAnswersOfGivingUp() map[string]func(*answers.Case) {
	return map[string]func(*answers.Case){
		"last": withSessions(func(s *subject) {
			first := s.gets(s.rival)
			s.giveUp(lock.Acquire, func() {})
			s.waiters(0)
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			s.end()
		}),
		"somebody behind": withSessions(func(s *subject) {
			first := s.gets(s.rival)
			var next <-chan *lock.Held
			s.giveUp(lock.Acquire, func() { next, _ = s.waiter() })
			s.waiters(1)
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			held := s.next(next)
			s.holds(held)
			s.release(held)
			s.end()
		}),
	}
}

// giveUp acquires, and gives up once it stands in line and meanwhile is over.
func (s *subject) giveUp(get func(context.Context, *session.Session, string, ...lock.Option) (*lock.Held, error), meanwhile func()) {
	s.Helper()
	s.Call(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			defer close(s.returned)
			if _, err := get(ctx, s.session, "x"); !errors.Is(err, context.Canceled) {
				s.Errorf("Acquire = %v, want context.Canceled", err)
			}
		}()
		s.sends(2)
		meanwhile()
		cancel()
		<-s.returned
	})
}

func lostAnswersOfDo() map[string]func(*answers.Case) {
	return map[string]func(*answers.Case){
		"free": withSessions(func(s *subject) { s.do(lock.Do, func() {}) }),
		"held": withSessions(func(s *subject) {
			first := s.gets(s.rival)
			s.do(lock.Do, func() {
				s.sends(2)
				s.release(first)
			})
		}),
		"TryDo, free": withSessions(func(s *subject) {
			s.bounded = true
			s.do(lock.TryDo, func() {})
		}),
		"TryDo, held": withSessions(func(s *subject) {
			s.bounded = true
			first := s.gets(s.rival)
			var err error
			s.Call(func(ctx context.Context) {
				err = lock.TryDo(ctx, s.session, "x", func(context.Context) error { s.Error("work ran"); return nil })
			})
			if !errors.Is(err, lock.ErrHeld) {
				s.excused(err)
			}
			s.Eventually("nobody waits", func() bool { return len(s.state().Waiters) == 0 })
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			s.end()
		}),
	}
}

// do is a case of Do or TryDo.
func (s *subject) do(do func(context.Context, *session.Session, string, func(context.Context) error, ...lock.Option) error, meanwhile func()) {
	s.Helper()
	ran, over := 0, false
	var err error
	s.while(func(ctx context.Context) {
		err = do(ctx, s.session, "x", func(ctx context.Context) error {
			ran++
			if _, err := s.tries(s.rival); !errors.Is(err, lock.ErrHeld) {
				s.Errorf("while work runs: a rival's TryAcquire = %v, want ErrHeld", err)
			}
			over = ctx.Err() != nil
			return context.Cause(ctx)
		})
	}, meanwhile)
	switch {
	case ran > 1:
		s.Errorf("work ran %d times", ran)
	case err == nil && (ran != 1 || over):
		s.Errorf("Do = nil, and work ran %d times, its time over: %v", ran, over)
	case err == nil:
	case ran == 1 && errors.Is(err, session.ErrUnknownOutcome): // of the release
	default:
		s.excused(err)
	}
	s.Reach(answers.Got)
	s.end()
}
