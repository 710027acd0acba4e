package rwlock_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// acquisition is a call that acquires in one mode.
type acquisition func(ctx context.Context, s *session.Session) (hold, error)

func reading(get func(context.Context, *session.Session, string) (*rwlock.Read, error)) acquisition {
	return func(ctx context.Context, s *session.Session) (hold, error) { return get(ctx, s, "x") }
}

func writing(get func(context.Context, *session.Session, string) (*rwlock.Write, error)) acquisition {
	return func(ctx context.Context, s *session.Session) (hold, error) { return get(ctx, s, "x") }
}

// TestLostAnswers loses the answer of each request of each call, in turn. Afterwards the result was right, or the error says that it is not
// known or that the caller's time was over; nobody else's hold was touched; nobody is left in line or in a place; and once the sessions are
// closed no key is left, and no lease.
func TestLostAnswers(t *testing.T) {
	all := map[string]func(*answers.Case){}
	for what, scenarios := range map[string]map[string]func(*answers.Case){
		"acquiring": lostAnswersOfAcquiring(), "trying": lostAnswersOfTrying(), "giving up": lostAnswersOfGivingUp(),
		"Do": lostAnswersOfDo(), "releasing": lostAnswersOfReleasing(), "Downgrade": lostAnswersOfDowngrading(),
	} {
		for name, scenario := range scenarios {
			all[what+", "+name] = scenario
		}
	}
	answers.Each(t, all)
}

// acquire is a case of an acquisition of what is free, or will be through what is done meanwhile.
func (s *subject) acquire(get acquisition, meanwhile func()) {
	s.Helper()
	var h hold
	var err error
	s.while(func(ctx context.Context) { h, err = get(ctx, s.session) }, meanwhile)
	s.got(h, err)
}

func lostAnswersOfAcquiring() map[string]func(*answers.Case) {
	read, write := reading(rwlock.AcquireRead), writing(rwlock.AcquireWrite)
	return map[string]func(*answers.Case){
		"a reader":                     with(func(s *subject) { s.acquire(read, func() {}) }),
		"a writer":                     with(func(s *subject) { s.acquire(write, func() {}) }),
		"a reader behind a writer":     with(func(s *subject) { s.behind(read, s.writes(s.rival)) }),
		"a writer behind a reader":     with(func(s *subject) { s.behind(write, s.reads(s.rival)) }),
		"a writer behind a writer":     with(func(s *subject) { s.behind(write, s.writes(s.rival)) }),
		"a reader that lets others in": with(func(s *subject) { s.together(false) }),
		"a reader that is let in":      with(func(s *subject) { s.together(true) }),
	}
}

// behind acquires what somebody holds, who then gives it back.
func (s *subject) behind(get acquisition, first hold) {
	s.Helper()
	s.acquire(get, func() {
		s.sends(2) // the request, which joins, and the look at the places
		s.release(first)
	})
}

// together has a rival's reader be let in with the subject, before or behind it.
func (s *subject) together(behind bool) {
	s.Helper()
	s.Racy = true
	first := s.writes(s.rival)
	got := make(chan *rwlock.Read, 1)
	other := func() {
		go func() {
			r, err := rwlock.AcquireRead(context.Background(), s.rival, "x")
			if err != nil {
				s.Error(err)
			}
			got <- r
		}()
		s.rivalStands()
	}
	if behind {
		other()
	}
	var h hold
	var err error
	s.while(func(ctx context.Context) { h, err = rwlock.AcquireRead(ctx, s.session, "x") }, func() {
		s.sends(2)
		if !behind {
			other()
		}
		s.release(first)
	})
	r := <-got
	s.holds(r)
	s.release(r)
	if r, ok := h.(*rwlock.Read); ok && r == nil {
		h = nil
	}
	s.got(h, err)
}

func lostAnswersOfTrying() map[string]func(*answers.Case) {
	try := func(get acquisition) func(*answers.Case) {
		return with(func(s *subject) {
			s.bounded = true
			s.acquire(get, func() {})
		})
	}
	refused := func(get acquisition, held func(s *subject) hold) func(*answers.Case) {
		return with(func(s *subject) {
			s.bounded = true
			first := held(s)
			var err error
			s.Call(func(ctx context.Context) { _, err = get(ctx, s.session) })
			if !errors.Is(err, rwlock.ErrHeld) {
				s.excused(err)
			}
			s.waiters(0)
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			s.end()
		})
	}
	reads := func(s *subject) hold { return s.reads(s.rival) }
	writes := func(s *subject) hold { return s.writes(s.rival) }
	return map[string]func(*answers.Case){
		"to read":                  try(reading(rwlock.TryAcquireRead)),
		"to write":                 try(writing(rwlock.TryAcquireWrite)),
		"to read beside a writer":  refused(reading(rwlock.TryAcquireRead), writes),
		"to write beside a reader": refused(writing(rwlock.TryAcquireWrite), reads),
		"to write beside a writer": refused(writing(rwlock.TryAcquireWrite), writes),
	}
}

func lostAnswersOfGivingUp() map[string]func(*answers.Case) {
	giveUp := func(get acquisition, behind bool) func(*answers.Case) {
		return with(func(s *subject) {
			first := s.writes(s.rival)
			var next <-chan *rwlock.Write
			s.Call(func(ctx context.Context) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				go func() {
					defer close(s.returned)
					if _, err := get(ctx, s.session); !errors.Is(err, context.Canceled) {
						s.Errorf("it = %v, want context.Canceled", err)
					}
				}()
				s.sends(2)
				if behind {
					next = s.waitsToWrite()
				}
				cancel()
				<-s.returned
			})
			s.Eventually("it has left", func() bool { return len(s.state().Waiters) == map[bool]int{true: 1}[behind] })
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			if behind {
				w := s.next(next)
				s.holds(w)
				s.release(w)
			}
			s.end()
		})
	}
	return map[string]func(*answers.Case){
		"a reader":                  giveUp(reading(rwlock.AcquireRead), false),
		"a writer":                  giveUp(writing(rwlock.AcquireWrite), false),
		"a reader, somebody behind": giveUp(reading(rwlock.AcquireRead), true),
	}
}

func lostAnswersOfDo() map[string]func(*answers.Case) {
	do := func(do func(context.Context, *session.Session, string, func(context.Context) error) error) func(*answers.Case) {
		return with(func(s *subject) {
			ran := 0
			var err error
			s.Call(func(ctx context.Context) {
				err = do(ctx, s.session, "x", func(ctx context.Context) error {
					ran++
					if st := s.state(); st.Writer == nil && len(st.Readers) == 0 {
						s.Error("work runs, and nobody holds the lock")
					}
					return context.Cause(ctx)
				})
			})
			switch {
			case ran > 1 || ran == 0 && err == nil:
				s.Errorf("Do = %v, and work ran %d times", err, ran)
			case err == nil:
			case ran == 1 && errors.Is(err, session.ErrUnknownOutcome): // of the release
			default:
				s.excused(err)
			}
			s.Reach(answers.Got)
			s.end()
		})
	}
	return map[string]func(*answers.Case){"DoRead": do(rwlock.DoRead), "DoWrite": do(rwlock.DoWrite)}
}

func lostAnswersOfReleasing() map[string]func(*answers.Case) {
	release := func(held func(s *subject) hold, waits bool) func(*answers.Case) {
		return with(func(s *subject) {
			h := held(s)
			var next <-chan *rwlock.Write
			if waits {
				next = s.waitsToWrite()
			}
			var err error
			s.Call(func(ctx context.Context) { err = h.Release(ctx) })
			if err != nil && (!s.Form.Hurried || !errors.Is(err, session.ErrUnknownOutcome)) {
				s.Errorf("Release = %v", err)
			}
			if err := h.Err(); !errors.Is(err, session.ErrReleased) {
				s.Errorf("Err() after Release = %v, want ErrReleased", err)
			}
			if waits {
				w := s.next(next)
				s.Reach(answers.Got)
				s.holds(w)
				s.release(w)
			}
			s.end()
		})
	}
	reads := func(s *subject) hold { return s.reads(s.session) }
	writes := func(s *subject) hold { return s.writes(s.session) }
	return map[string]func(*answers.Case){
		"a reader":                 release(reads, false),
		"a writer":                 release(writes, false),
		"a reader, somebody waits": release(reads, true),
		"a writer, somebody waits": release(writes, true),
	}
}

func lostAnswersOfDowngrading() map[string]func(*answers.Case) {
	downgrade := func(waits bool) func(*answers.Case) {
		return with(func(s *subject) {
			w := s.writes(s.session)
			var next <-chan *rwlock.Write
			if waits {
				next = s.waitsToWrite()
			}
			var r *rwlock.Read
			var err error
			s.Call(func(ctx context.Context) { r, err = w.Downgrade(ctx) })
			if err := w.Err(); !errors.Is(err, session.ErrReleased) {
				s.Errorf("Err() of what was downgraded = %v, want ErrReleased", err)
			}
			switch {
			case err == nil:
				s.Calm()
				s.Reach(answers.Got)
				s.holds(r)
				s.release(r)
			case s.Form.Run == 0 || !s.Form.Hurried || !errors.Is(err, session.ErrUnknownOutcome):
				s.Errorf("Downgrade = %v", err)
			}
			if waits {
				w := s.next(next)
				s.Reach(answers.Got)
				s.holds(w)
				s.release(w)
			}
			s.end()
		})
	}
	return map[string]func(*answers.Case){"alone": downgrade(false), "a writer waits": downgrade(true)}
}
