package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestLostAnswers loses the answer of each request of each call, in turn. Afterwards the result was right, or the error says that it is not known or
// that the caller's time was over; nobody else's permit was touched; nobody stands in line who is not known to; a rival gets all permits; and once
// the sessions are closed no key is left but the limit's, and no lease but one of whose grant the client has never heard.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	all := map[string]func(*answers.Case){}
	for what, scenarios := range map[string]map[string]func(*answers.Case){
		"Acquire": lostAnswersOfAcquire(), "TryAcquire": lostAnswersOfTryAcquire(), "what is held": lostAnswersOfHolding(), "SetLimit": lostAnswersOfSetLimit(),
		"looking": lostAnswersOfLooking(),
	} {
		for name, scenario := range scenarios {
			all[what+", "+name] = scenario
		}
	}
	answers.Each(t, all)
}

func lostAnswersOfAcquire() map[string]func(*answers.Case) {
	held := func(n int) func(*answers.Case) {
		return with(2, nil, func(s *subject) {
			first := s.gets(s.rival, 2)
			s.acquires(n, func() {
				s.sends(2) // the join and the look
				s.release(first)
			})
		})
	}
	return map[string]func(*answers.Case){
		"one, free":     with(2, nil, func(s *subject) { s.acquires(1, func() {}) }),
		"several, free": with(2, nil, func(s *subject) { s.acquires(2, func() {}) }),
		"one, held":     held(1),
		"several, held": held(2),
		"spread":        with(2, []semaphore.ClientOption{semaphore.Spread("rack", 2)}, func(s *subject) { s.acquires(2, func() {}) }),
		"lowered": with(3, nil, func(s *subject) {
			first, last := s.gets(s.rival, 2), s.gets(s.rival, 1)
			s.limit(2)
			s.release(first)
			var p *semaphore.Permit
			var err error
			s.Call(func(ctx context.Context) { p, err = semaphore.Acquire(ctx, s.session, "x", 1) })
			s.release(last)
			s.got(p, err)
		}),
		"somebody in front": with(2, nil, func(s *subject) {
			first := s.gets(s.rival, 2)
			next, _ := s.waiter()
			s.acquires(1, func() {
				s.sends(2)
				s.release(first)
				s.release(<-next)
			})
		}),
		"given up": with(2, nil, func(s *subject) {
			first := s.gets(s.rival, 1)
			s.givesUp(2)
			s.Eventually("nobody waits", func() bool { return len(s.state().Waiters) == 0 })
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			s.end()
		}),
		"too many": with(2, nil, func(s *subject) {
			var err error
			s.Call(func(ctx context.Context) { _, err = semaphore.Acquire(ctx, s.session, "x", 3) })
			if _, ok := errors.AsType[*semaphore.LimitError](err); !ok {
				s.excused(err)
			}
			s.Reach(answers.Got)
			s.end()
		}),
		"too many by now": with(2, nil, func(s *subject) {
			first := s.gets(s.rival, 2)
			var err error
			s.while(func(ctx context.Context) { _, err = semaphore.Acquire(ctx, s.session, "x", 2) }, func() {
				s.sends(2)
				s.limit(1)
			})
			if _, ok := errors.AsType[*semaphore.LimitError](err); !ok {
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

func lostAnswersOfTryAcquire() map[string]func(*answers.Case) {
	free := func(n int) func(*answers.Case) {
		return with(2, nil, func(s *subject) {
			s.bounded = true
			var p *semaphore.Permit
			var err error
			s.Call(func(ctx context.Context) { p, err = semaphore.TryAcquire(ctx, s.session, "x", n) })
			s.got(p, err)
		})
	}
	return map[string]func(*answers.Case){
		"one, free":     free(1),
		"several, free": free(2),
		"held": with(2, nil, func(s *subject) {
			s.bounded = true
			first := s.gets(s.rival, 1)
			var err error
			s.Call(func(ctx context.Context) { _, err = semaphore.TryAcquire(ctx, s.session, "x", 2) })
			if !errors.Is(err, semaphore.ErrHeld) {
				s.excused(err)
			}
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			s.end()
		}),
	}
}

func lostAnswersOfHolding() map[string]func(*answers.Case) {
	return map[string]func(*answers.Case){
		"Release": with(3, []semaphore.ClientOption{semaphore.Spread("rack", 3)}, func(s *subject) {
			p := s.gets(s.session, 2)
			other := s.gets(s.rival, 1)
			var err error
			s.Call(func(ctx context.Context) { err = p.Release(ctx) })
			if err != nil && (!s.Form.Hurried || !errors.Is(err, session.ErrUnknownOutcome)) {
				s.Errorf("Release = %v", err)
			}
			s.Reach(answers.Got)
			s.holds(other)
			s.release(other)
			s.end()
		}),
		"Do": with(2, nil, func(s *subject) {
			ran := 0
			var err error
			s.Call(func(ctx context.Context) {
				err = semaphore.Do(ctx, s.session, "x", 2, func(ctx context.Context) error {
					ran++
					if st := s.state(); st.Taken() != 2 {
						s.Errorf("while work runs: %+v", st)
					}
					return context.Cause(ctx)
				})
			})
			switch {
			case ran > 1 || err == nil && ran == 0:
				s.Errorf("Do = %v, and work ran %d times", err, ran)
			case err == nil || ran == 1 && errors.Is(err, session.ErrUnknownOutcome): // of the release
			default:
				s.excused(err)
			}
			s.Reach(answers.Got)
			s.end()
		}),
		"Close": with(2, nil, func(s *subject) {
			s.unsure = true
			s.gets(s.session, 2)
			s.Call(func(ctx context.Context) { s.closes(ctx) })
			s.Reach(answers.Got)
			s.end()
		}),
	}
}

func lostAnswersOfSetLimit() map[string]func(*answers.Case) {
	sets := func(to int) func(*answers.Case) {
		return with(2, nil, func(s *subject) {
			first := s.gets(s.rival, 2)
			s.bounded = true
			var err error
			s.Call(func(ctx context.Context) { err = semaphore.SetLimit(ctx, s.Client, "x", to) })
			if err != nil && !errors.Is(err, session.ErrUnknownOutcome) {
				s.excused(err)
			}
			if st := s.state(); err == nil && st.Limit != to {
				s.Errorf("the limit is %d after it was set to %d", st.Limit, to)
			}
			s.Reach(answers.Got)
			s.holds(first)
			s.release(first)
			s.limit(3) // somebody else's comes later, and stays
			s.end()
			if st := s.last; st.Limit != 3 {
				s.Errorf("the limit is %d in the end: a late copy has set it", st.Limit)
			}
		})
	}
	first := func(c *answers.Case) {
		s := newSubject(c)
		s.bounded = true
		var err error
		s.Call(func(ctx context.Context) { err = semaphore.SetLimit(ctx, s.Client, "x", 2) })
		if err != nil && !errors.Is(err, session.ErrUnknownOutcome) {
			s.excused(err)
		}
		s.Reach(answers.Got)
		s.limit(3)
		s.end()
		if st := s.last; st.Limit != 3 {
			s.Errorf("the limit is %d in the end: a late copy has set it", st.Limit)
		}
	}
	return map[string]func(*answers.Case){"raised": sets(4), "lowered": sets(1), "the same": sets(2), "the first": first}
}

func lostAnswersOfLooking() map[string]func(*answers.Case) {
	looks := func(look func(ctx context.Context, s *subject) (semaphore.State, error)) func(*answers.Case) {
		return with(2, nil, func(s *subject) {
			s.bounded = true
			p := s.gets(s.rival, 2)
			var st semaphore.State
			var err error
			s.Call(func(ctx context.Context) { st, err = look(ctx, s) })
			switch {
			case err != nil:
				s.excused(err)
			case st.Limit != 2 || st.Taken() != 2:
				s.Errorf("%+v", st)
			}
			s.release(p)
			s.end()
		})
	}
	return map[string]func(*answers.Case){
		"Inspect": looks(func(ctx context.Context, s *subject) (semaphore.State, error) {
			return semaphore.Inspect(ctx, s.Client, "x")
		}),
		"List": looks(func(ctx context.Context, s *subject) (semaphore.State, error) {
			all, err := semaphore.List(ctx, s.Client)
			if err == nil && len(all) != 1 {
				err = fmt.Errorf("List = %+v", all)
			}
			if err != nil {
				return semaphore.State{}, err
			}
			return all[0], nil
		}),
		"Watch": looks(func(ctx context.Context, s *subject) (st semaphore.State, err error) {
			for st, err = range semaphore.Watch(ctx, s.Client, "x") {
				break
			}
			return st, err
		}),
	}
}
