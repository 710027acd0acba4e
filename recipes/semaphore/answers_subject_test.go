package semaphore_test

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// subject is a case with the session whose answers are lost, and a rival's.
type subject struct {
	*answers.Case
	session  *session.Session
	rival    *session.Session
	bounded  bool // the call gives up by itself when etcd has not answered for 5 s
	unsure   bool // Close may not know what etcd has done
	returned chan struct{}
	last     semaphore.State // in the end
}

// with is a scenario with a limit, whose sessions have their leases.
func with(limit int, opts []semaphore.ClientOption, play func(s *subject)) func(*answers.Case) {
	return func(c *answers.Case) {
		s := newSubject(c)
		s.limit(limit, opts...)
		if err := errors.Join(s.session.Start(c.Context()), s.rival.Start(c.Context())); err != nil {
			c.Fatal(err)
		}
		play(s)
	}
}

func newSubject(c *answers.Case) *subject {
	c.Helper()
	return &subject{Case: c, returned: make(chan struct{}), session: unopened(c, c.Client, 2*time.Second), rival: unopened(c, c.Others, atLast)}
}

const atLast = 30 * time.Second // for what must come

// unopened is a session whose leases don't end while a test runs: whatever goes before that was cleaned up.
func unopened(c *answers.Case, client *clientv3.Client, cleanup time.Duration) *session.Session {
	c.Helper()
	s, err := session.New(client, session.TTL(long), session.CleanupTimeout(cleanup), in("a"))
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// answered asks again and again, for those whose answers are not lost, however busy the machine is.
func (s *subject) answered(ask func() error) {
	s.Helper()
	s.Eventually("an answer", func() bool {
		err := ask()
		if err != nil && !errors.Is(err, session.ErrUnavailable) {
			s.Fatal(err)
		}
		return err == nil
	})
}

func (s *subject) limit(n int, opts ...semaphore.ClientOption) {
	s.Helper()
	s.answered(func() error { return semaphore.SetLimit(s.Context(), s.Others, "x", n, opts...) })
}

func (s *subject) gets(by *session.Session, n int) (p *semaphore.Permit) {
	s.Helper()
	s.answered(func() (err error) { p, err = semaphore.TryAcquire(s.Context(), by, "x", n); return err })
	return p
}

func (s *subject) state() (st semaphore.State) {
	s.Helper()
	s.answered(func() (err error) { st, err = semaphore.Inspect(s.Context(), s.Others, "x"); return err })
	return st
}

func (s *subject) release(p *semaphore.Permit) {
	s.Helper()
	if err := p.Release(s.Context()); err != nil {
		s.Errorf("Release = %v", err)
	}
}

// while makes the call, and meanwhile something else.
func (s *subject) while(call func(ctx context.Context), meanwhile func()) {
	s.Helper()
	s.Call(func(ctx context.Context) {
		go func() { defer close(s.returned); call(ctx) }()
		meanwhile()
		<-s.returned
	})
}

// sends waits until the call has sent n requests, or returned.
func (s *subject) sends(n int) {
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

// acquires is a case of Acquire, of permits that are free, or will be through what is done meanwhile.
func (s *subject) acquires(n int, meanwhile func()) {
	s.Helper()
	var p *semaphore.Permit
	var err error
	s.while(func(ctx context.Context) { p, err = semaphore.Acquire(ctx, s.session, "x", n) }, meanwhile)
	s.got(p, err)
}

// givesUp stands in line, and gives up then.
func (s *subject) givesUp(n int) {
	s.Helper()
	s.Call(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			defer close(s.returned)
			if _, err := semaphore.Acquire(ctx, s.session, "x", n); !errors.Is(err, context.Canceled) {
				s.Errorf("Acquire = %v, want context.Canceled", err)
			}
		}()
		s.sends(3) // the look, the join, and a look at the head
		cancel()
		<-s.returned
	})
}

// waiter has the rival stand in line for both permits.
func (s *subject) waiter() (got <-chan *semaphore.Permit, giveUp func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan *semaphore.Permit, 1)
	go func() {
		defer close(c)
		if p, err := semaphore.Acquire(ctx, s.rival, "x", 2); err == nil {
			c <- p
		}
	}()
	s.Eventually("the rival stands in line", func() bool { return len(s.state().Waiters) > 0 })
	return c, func() { cancel(); <-c }
}

// holds fails unless p is held, as its holder and etcd see it.
func (s *subject) holds(p *semaphore.Permit) {
	s.Helper()
	if err := p.Err(); err != nil {
		s.Errorf("the hold has ended: %v", err)
	}
	found := false
	for _, h := range s.state().Holders {
		found = found || h.Token == p.Token() && len(h.Slots) == len(p.Slots())
	}
	if !found {
		s.Errorf("Inspect = %+v, want a holder with token %v", s.state(), p.Token())
	}
	if _, err := p.Txn(s.Context()).Then(clientv3.OpPut("guarded", "v")).Commit(); err != nil {
		s.Errorf("Txn = %v", err)
	}
}

// got judges what an acquisition has returned, and goes on to its end.
func (s *subject) got(p *semaphore.Permit, err error) {
	s.Helper()
	if err == nil {
		s.Calm()
		s.Reach(answers.Got)
		s.holds(p)
		s.release(p)
	} else {
		s.excused(err)
	}
	s.end()
}

// excused fails unless the fault explains err.
func (s *subject) excused(err error) {
	s.Helper()
	silent := s.Form.Symptom == recipestest.Silence
	switch {
	case s.Form.Run == 0:
		s.Errorf("%v, and nothing was lost", err)
	case s.Form.Hurried && errors.Is(err, context.Canceled):
	case s.bounded && silent && errors.Is(err, session.ErrUnavailable):
	default:
		s.Errorf("it failed with %v", err)
	}
}

// end: nobody holds or waits any more, or will soon. A rival can have all permits, and nothing that arrives later touches them. When the sessions
// are closed nothing is left.
func (s *subject) end() {
	s.Helper()
	s.free()
	s.Calm()
	s.Reach(answers.Released)
	s.free()
	all := s.gets(s.rival, s.state().Limit)
	s.Reach(answers.Taken)
	s.holds(all)
	if st := s.state(); len(st.Waiters) > 0 || len(st.Holders) != 1 {
		s.Errorf("%+v, want one holder", st)
	}
	s.release(all)
	s.closes(s.Context())
	if err := s.rival.Close(s.Context()); err != nil {
		s.Errorf("a rival's Close = %v", err)
	}
	s.Reach(answers.Closed)
	s.free()
	s.last = s.state()
	for _, key := range []string{"guarded", below + "p/limit", below + "p/look"} {
		if _, err := s.Others.Delete(s.Context(), key); err != nil {
			s.Error(err)
		}
	}
	s.NothingLeft()
}

func (s *subject) closes(ctx context.Context) {
	s.Helper()
	if err := s.session.Close(ctx); err != nil && (!s.unsure || !errors.Is(err, session.ErrUnknownOutcome)) {
		s.Errorf("Close = %v", err)
	}
}

// free waits until nobody holds or waits. Looking sweeps a tail that names nobody.
func (s *subject) free() {
	s.Helper()
	s.Eventually("nobody holds or waits", func() bool { st := s.state(); return len(st.Holders)+len(st.Waiters) == 0 })
}
