package semaphore_test

import (
	"context"
	"errors"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestDurableLostAnswers loses the answer of each request of each call, in turn. Afterwards the result was right; or the error says that the outcome
// is not known, and to call again settles it; or, with any other error, nothing was changed and nothing will be. What was held back and
// arrives late, at whatever moment, changes nothing. What goes into the same transaction was done once.
func TestDurableLostAnswers(t *testing.T) {
	t.Parallel()
	answers.Each(t, map[string]func(*answers.Case){
		"SetLimit, the first": func(c *answers.Case) { newDurableCase(c, -1).setsLimit(2) },
		"SetLimit, another":   func(c *answers.Case) { newDurableCase(c, 5).setsLimit(2) },
		"Acquire":             func(c *answers.Case) { newDurableCase(c, 1).acquires((*semaphore.DurableSemaphore).Acquire, func() {}) },
		"TryAcquire": func(c *answers.Case) {
			s := newDurableCase(c, 1)
			s.bounded = true
			s.acquires((*semaphore.DurableSemaphore).TryAcquire, func() {})
		},
		"Acquire, full at first": func(c *answers.Case) {
			c.Racy = true // a wait may see more than one change
			s := newDurableCase(c, 1)
			first, err := s.rival.TryAcquire(c.Context(), "first")
			if err != nil {
				c.Fatal(err)
			}
			s.acquires((*semaphore.DurableSemaphore).Acquire, func() {
				s.sends(1)
				s.ends(first)
			})
		},
		"Acquire, with an operation": func(c *answers.Case) {
			s := newDurableCase(c, 1)
			s.opts = audited("acquired")
			s.acquires((*semaphore.DurableSemaphore).Acquire, func() {})
		},
		"Held": func(c *answers.Case) {
			s := newDurableCase(c, 1)
			s.bounded = true
			want, err := s.rival.TryAcquire(c.Context(), "m1")
			if err != nil {
				c.Fatal(err)
			}
			var p semaphore.DurablePermit
			c.Call(func(ctx context.Context) { p, err = s.d.Held(ctx, "m1") })
			if s.excused(err); err == nil && p.Token != want.Token {
				c.Errorf("Held = %+v, want %+v", p, want)
			}
			s.ends(want)
		},
		"Release": func(c *answers.Case) { newDurableCase(c, 1).releases() },
		"Release, with an operation": func(c *answers.Case) {
			s := newDurableCase(c, 1)
			s.opts = audited("released")
			s.releases()
		},
		"Remove": func(c *answers.Case) { newDurableCase(c, 1).removes() },
		"Remove of nobody": func(c *answers.Case) {
			s := newDurableCase(c, 1)
			s.bounded = true
			var err error
			c.Call(func(ctx context.Context) { err = s.d.Remove(ctx, "m1", "gone") })
			if !errors.Is(err, semaphore.ErrNotHeld) {
				s.excused(err)
			}
			s.late(func() { s.holds("") })
		},
	})
}

func audited(what string) []semaphore.DurableOption {
	return []semaphore.DurableOption{semaphore.Then(clientv3.OpPut("audit/"+what, "m1"))}
}

// durableCase is a case with the semaphore whose answers are lost, and a rival's.
type durableCase struct {
	*answers.Case
	d, rival *semaphore.DurableSemaphore
	opts     []semaphore.DurableOption
	bounded  bool // the call gives up by itself when etcd has not answered for 5 s
	returned chan struct{}
}

func newDurableCase(c *answers.Case, limit int) *durableCase {
	c.Helper()
	s := &durableCase{
		Case: c, d: semaphore.Durable(c.Client, "x"), rival: semaphore.Durable(c.Others, "x"), returned: make(chan struct{}),
	}
	if limit >= 0 {
		if err := s.rival.SetLimit(c.Context(), limit); err != nil {
			c.Fatal(err)
		}
	}
	return s
}

// sends waits until the call has sent n requests, or returned.
func (s *durableCase) sends(n int) {
	s.Helper()
	s.Eventually("the requests are sent", func() bool {
		select {
		case <-s.returned:
			return true
		default:
			return s.Requests() >= n
		}
	})
}

// excused fails unless there is no error, or the fault explains it.
func (s *durableCase) excused(err error) {
	s.Helper()
	switch {
	case err == nil:
	case s.Form.Run == 0:
		s.Errorf("%v, and nothing was lost", err)
	case s.Form.Hurried && errors.Is(err, context.Canceled):
	case s.bounded && s.Form.Symptom == 0 && (errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrUnknownOutcome)):
	default:
		s.Errorf("it failed with %v", err)
	}
	if errors.Is(err, session.ErrUnknownOutcome) && errors.Is(err, session.ErrUnavailable) {
		s.Errorf("%v: ErrUnavailable says that nothing was changed", err)
	}
}

// ends gives p back, by the rival.
func (s *durableCase) ends(p semaphore.DurablePermit) {
	s.Helper()
	if err := s.rival.Release(s.Context(), p.ID, p.Token); err != nil {
		s.Error(err)
	}
}

// holds fails unless these hold.
func (s *durableCase) holds(want string) {
	s.Helper()
	st, err := s.rival.Inspect(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if got := holderIDs(st); got != want {
		s.Errorf("%q hold, want %q", got, want)
	}
}

// late has whatever was held back arrive, at each of its moments, and checks after each.
func (s *durableCase) late(check func()) {
	s.Helper()
	s.Calm()
	for m := answers.Got; m <= answers.Closed; m++ {
		s.Reach(m)
		check()
	}
}

func (s *durableCase) setsLimit(limit int) {
	s.Helper()
	s.bounded = true
	var err error
	s.Call(func(ctx context.Context) { err = s.d.SetLimit(ctx, limit) })
	s.excused(err)
	s.Calm()
	if err != nil && !errors.Is(err, session.ErrUnknownOutcome) {
		if st, err := s.rival.Inspect(s.Context()); err == nil && st.Limit == limit {
			s.Errorf("the limit was set, and the error was another one")
		}
	}
	if err != nil {
		if err := s.d.SetLimit(s.Context(), limit); err != nil {
			s.Fatalf("again: %v", err)
		}
	}
	s.Reach(answers.Got)
	p, err := s.rival.TryAcquire(s.Context(), "m1")
	if err != nil {
		s.Fatal(err)
	}
	s.late(func() { s.holds("m1") })
	if st, err := s.rival.Inspect(s.Context()); err != nil || st.Limit != limit {
		s.Errorf("the limit is %d, %v, want %d", st.Limit, err, limit)
	}
	s.ends(p)
}

type durableGet func(d *semaphore.DurableSemaphore, ctx context.Context, id string, opts ...semaphore.DurableOption) (semaphore.DurablePermit, error)

// acquires is a case of an acquisition for which there is room, or will be through what is done meanwhile.
func (s *durableCase) acquires(get durableGet, meanwhile func()) {
	s.Helper()
	var p semaphore.DurablePermit
	var err error
	s.Call(func(ctx context.Context) {
		go func() { defer close(s.returned); p, err = get(s.d, ctx, "m1", s.opts...) }()
		meanwhile()
		<-s.returned
	})
	s.excused(err)
	switch {
	case errors.Is(err, session.ErrUnknownOutcome):
		s.Calm()
		if p, err = s.d.Acquire(s.Context(), "m1", s.opts...); err != nil {
			s.Fatalf("again: %v", err)
		}
	case err != nil:
		s.late(func() { s.holds("") })
		s.audit("acquired", 0)
		return
	}
	s.Calm()
	s.Reach(answers.Got)
	s.holds("m1")
	if held, err := s.rival.Held(s.Context(), "m1"); err != nil || held.Token != p.Token {
		s.Errorf("Held = %+v, %v, want %+v", held, err, p)
	}
	s.audit("acquired", 1)
	s.ends(p)
	s.Reach(answers.Released)
	s.holds("")
	if p, err = s.rival.TryAcquire(s.Context(), "other"); err != nil {
		s.Fatal(err)
	}
	s.late(func() { s.holds("other") })
	s.audit("acquired", 1)
	s.ends(p)
}

// audit fails unless the operation that goes with the change was done so many times.
func (s *durableCase) audit(what string, times int64) {
	s.Helper()
	if s.opts == nil {
		return
	}
	resp, err := s.Others.Get(s.Context(), "audit/"+what)
	if err != nil {
		s.Fatal(err)
	}
	done := int64(0)
	if len(resp.Kvs) > 0 {
		done = resp.Kvs[0].Version
	}
	if done != times {
		s.Errorf("the operation was done %d times, want %d", done, times)
	}
}

// permit is one of m1's, got by the rival.
func (s *durableCase) permit() semaphore.DurablePermit {
	s.Helper()
	p, err := s.rival.TryAcquire(s.Context(), "m1")
	if err != nil {
		s.Fatal(err)
	}
	return p
}

func (s *durableCase) releases() {
	s.Helper()
	p := s.permit()
	s.ending("released", p.Token, func(ctx context.Context) error { return s.d.Release(ctx, "m1", p.Token, s.opts...) })
}

func (s *durableCase) removes() {
	s.Helper()
	p := s.permit()
	s.ending("removed", p.Token, func(ctx context.Context) error { return s.d.Remove(ctx, "m1", "gone", s.opts...) })
}

// ending is a case of a call that ends the permit of m1.
func (s *durableCase) ending(what string, token fencing.Token, end func(ctx context.Context) error) {
	s.Helper()
	s.bounded = true
	var err error
	s.Call(func(ctx context.Context) { err = end(ctx) })
	s.excused(err)
	s.Calm()
	if err != nil && !errors.Is(err, session.ErrUnknownOutcome) {
		s.holds("m1")
	}
	if err != nil {
		if err := end(s.Context()); err != nil && (what != "removed" || !errors.Is(err, semaphore.ErrNotHeld)) {
			s.Fatalf("again: %v", err)
		}
	}
	s.holds("")
	s.audit(what, 1)
	s.Reach(answers.Got)
	s.Reach(answers.Released)
	p := s.permit()
	if p.Token.Compare(token) <= 0 {
		s.Errorf("token %v after %v", p.Token, token)
	}
	s.late(func() { s.holds("m1") })
	s.audit(what, 1)
	s.ends(p)
}
