package lock_test

import (
	"context"
	"errors"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// subject is a case with the session whose answers are lost, and a rival's.
type subject struct {
	*answers.Case
	session  *session.Session
	rival    *session.Session
	bounded  bool          // the call gives up by itself when etcd has not answered for 5 s
	unsure   bool          // Close may not know what etcd has done: the call opens the lease, or is Close
	last     func()        // looks at what there is in the end
	names    []string      // of the locks that the call is about
	returned chan struct{} // closed when the call has
}

// withSessions is a scenario whose sessions have their leases.
func withSessions(play func(s *subject)) func(*answers.Case) {
	return func(c *answers.Case) {
		s := newSubject(c)
		if err := errors.Join(s.session.Start(c.Context()), s.rival.Start(c.Context())); err != nil {
			c.Fatal(err)
		}
		play(s)
	}
}

func newSubject(c *answers.Case) *subject {
	c.Helper()
	return &subject{
		Case: c, returned: make(chan struct{}), names: []string{"x"}, session: unopened(c, c.Client, session.CleanupTimeout(2*time.Second)),
		rival: unopened(c, c.Others, session.CleanupTimeout(atLast), session.Labels(map[string]string{"who": "rival"})),
	}
}

const atLast = 30 * time.Second // for what must come

// unopened is a session whose leases don't end while a test runs: whatever goes before that was cleaned up.
func unopened(c *answers.Case, client *clientv3.Client, opts ...session.Option) *session.Session {
	c.Helper()
	s, err := session.New(client, append([]session.Option{session.TTL(120 * time.Second)}, opts...)...)
	if err != nil {
		c.Fatal(err)
	}
	return s
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

// pauses waits until the call has sent nothing for a while, or returned: then it waits for others, or for a deadline.
func (s *subject) pauses() {
	s.Helper()
	sent, since := s.Requests(), time.Now()
	s.Eventually("the call waits", func() bool {
		if now := s.Requests(); now != sent {
			sent, since = now, time.Now()
		}
		select {
		case <-s.returned:
			return true
		default:
			return time.Since(since) > 50*time.Millisecond
		}
	})
}

// tries is TryAcquire by somebody whose answers are not lost, however busy the machine is.
func (s *subject) tries(by *session.Session) (held *lock.Held, err error) {
	s.Helper()
	s.Eventually("an answer", func() bool {
		held, err = lock.TryAcquire(s.Context(), by, "x")
		return !errors.Is(err, session.ErrUnavailable)
	})
	return held, err
}

func (s *subject) gets(by *session.Session) *lock.Held {
	s.Helper()
	held, err := s.tries(by)
	if err != nil {
		s.Fatalf("TryAcquire = %v, want the lock, which is free", err)
	}
	return held
}

// waiter has the rival stand in line.
func (s *subject) waiter() (got <-chan *lock.Held, giveUp func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan *lock.Held, 1)
	go func() {
		defer close(c)
		if held, err := lock.Acquire(ctx, s.rival, "x"); err == nil {
			c <- held
		}
	}()
	s.Eventually("the rival stands in line", func() bool {
		return slices.ContainsFunc(s.state().Waiters, func(h lock.Holder) bool { return h.Labels["who"] == "rival" })
	})
	return c, func() { cancel(); <-c }
}

// next is what a waiter gets.
func (s *subject) next(got <-chan *lock.Held) *lock.Held {
	s.Helper()
	select {
	case held := <-got:
		if held != nil {
			return held
		}
		s.Fatal("the waiter did not get the lock")
	case <-time.After(atLast):
		s.Fatal("the waiter never gets the lock")
	}
	return nil
}

func (s *subject) waiters(n int) {
	s.Helper()
	s.Eventually("the right number of waiters", func() bool { return len(s.state().Waiters) == n })
}

func (s *subject) state() lock.State { s.Helper(); return s.stateOf("x") }

func (s *subject) stateOf(name string) (st lock.State) {
	s.Helper()
	s.Eventually("an answer", func() (ok bool) {
		var err error
		st, err = lock.Inspect(s.Context(), s.Others, name)
		if err != nil && !errors.Is(err, session.ErrUnavailable) {
			s.Fatal(err)
		}
		return err == nil
	})
	return st
}

func (s *subject) release(held *lock.Held) {
	s.Helper()
	if err := held.Release(s.Context()); err != nil {
		s.Errorf("Release = %v", err)
	}
}

// other is one more session, which nobody minds.
func (s *subject) other() *session.Session {
	s.Helper()
	other := unopened(s.Case, s.Others, session.NoRejoin())
	s.Cleanup(func() { _ = other.Close(context.Background()) })
	return other
}

// crash ends the lease that held is on, and with it all of its session.
func (s *subject) crash(held *lock.Held) {
	s.Helper()
	recipestest.RevokeLeaseOf(s, s.Others, held.Claims()[0].Key)
}

// doomed is a waiter, the n-th, that crashes when it is told to.
func (s *subject) doomed(n int) (crash func()) {
	s.Helper()
	gone := make(chan error, 1)
	other := s.other()
	go func() { _, err := lock.Acquire(context.Background(), other, "x"); gone <- err }()
	s.waiters(n)
	key := "/stile/v1/lock/x/e/" + s.state().Waiters[n-1].ID
	return func() {
		recipestest.RevokeLeaseOf(s, s.Others, key)
		<-gone
	}
}

// mark ends held by a mark such as a waiter leaves that gives up and doesn't know who is in front.
func (s *subject) mark(held *lock.Held) {
	s.Helper()
	if _, err := s.Others.Put(s.Context(), held.Claims()[0].Key, `{"state":"gone"}`, clientv3.WithIgnoreLease()); err != nil {
		s.Fatal(err)
	}
}

// holds fails unless held is held, as its holder, etcd, and everybody else see it.
func (s *subject) holds(held *lock.Held) {
	s.Helper()
	if err := held.Err(); err != nil {
		s.Errorf("the hold has ended: %v", err)
	}
	if st := s.state(); st.Holder == nil || st.Holder.Token != held.Token() {
		s.Errorf("Inspect = %+v, want a holder with token %v", st, held.Token())
	}
	if _, err := s.tries(s.rival); !errors.Is(err, lock.ErrHeld) {
		s.Errorf("a rival's TryAcquire = %v, want ErrHeld", err)
	}
	if _, err := held.Txn(s.Context()).Then(clientv3.OpPut("guarded", "v")).Commit(); err != nil {
		s.Errorf("Txn = %v", err)
	}
}

// got judges what an acquisition of a lock that is free, or will be, has returned, and goes on to its end.
func (s *subject) got(held *lock.Held, err error) {
	s.Helper()
	if err == nil {
		s.Calm()
		s.Reach(answers.Got)
		s.holds(held)
		s.release(held)
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

// end: nobody of the subject's stands in line any more, or will be soon. A rival can have the lock, and nothing that arrives later touches it.
// When the sessions are closed nothing is left.
func (s *subject) end() {
	s.Helper()
	s.free()
	s.Calm()
	s.Reach(answers.Released)
	s.free()
	next, err := lock.AcquireAll(s.Context(), s.rival, s.names...)
	if err != nil {
		s.Fatalf("a rival's AcquireAll = %v", err)
	}
	s.Reach(answers.Taken)
	s.holds(next)
	for _, name := range s.names {
		if st := s.stateOf(name); len(st.Waiters) > 0 {
			s.Errorf("%+v stand in line", st.Waiters)
		}
	}
	s.release(next)
	if err := s.session.Close(s.Context()); err != nil && !(s.unsure && errors.Is(err, session.ErrUnknownOutcome)) {
		s.Errorf("Close = %v", err)
	}
	if err := s.rival.Close(s.Context()); err != nil {
		s.Errorf("a rival's Close = %v", err)
	}
	s.closed()
}

// free waits until nobody stands in line.
func (s *subject) free() {
	s.Helper()
	s.Eventually("nobody stands in line", func() bool {
		return !slices.ContainsFunc(s.names, func(name string) bool { return s.stateOf(name).Holder != nil })
	})
}

// closed: both sessions are.
func (s *subject) closed() {
	s.Helper()
	s.Reach(answers.Closed)
	s.free() // sweeps a tail that names nobody
	if s.last != nil {
		s.last()
	}
	for _, key := range []string{"guarded", "data"} {
		if _, err := s.Others.Delete(s.Context(), key); err != nil {
			s.Error(err)
		}
	}
	s.NothingLeft()
}
