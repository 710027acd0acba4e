package rwlock_test

import (
	"context"
	"errors"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// hold is what both modes have.
type hold interface {
	Err() error
	Context() context.Context
	Release(ctx context.Context) error
	Txn(ctx context.Context) clientv3.Txn
}

// subject is a case with the session whose answers are lost, and a rival's.
type subject struct {
	*answers.Case
	session  *session.Session
	rival    *session.Session
	bounded  bool          // the call gives up by itself when etcd has not answered for 5 s
	returned chan struct{} // closed when the call has
}

// with is a scenario whose sessions have their leases, which don't end while a test runs.
func with(play func(s *subject)) func(*answers.Case) {
	return func(c *answers.Case) {
		open := func(client *clientv3.Client, who string, cleanup time.Duration) *session.Session {
			labels := session.Labels(map[string]string{"who": who})
			s, err := session.Open(c.Context(), client, labels, session.TTL(120*time.Second), session.CleanupTimeout(cleanup))
			if err != nil {
				c.Fatal(err)
			}
			return s
		}
		play(&subject{Case: c, returned: make(chan struct{}), session: open(c.Client, "subject", 2*time.Second), rival: open(c.Others, "rival", atLast)})
	}
}

const atLast = 30 * time.Second // for what must come

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

func (s *subject) state() (st rwlock.State) {
	s.Helper()
	s.Eventually("an answer", func() bool {
		var err error
		st, err = rwlock.Inspect(s.Context(), s.Others, "x")
		return err == nil
	})
	return st
}

func (s *subject) waiters(n int) {
	s.Helper()
	s.Eventually("the right number of waiters", func() bool { return len(s.state().Waiters) == n })
}

// reads and writes are holds of somebody's.
func (s *subject) reads(by *session.Session) *rwlock.Read {
	s.Helper()
	r, err := rwlock.AcquireRead(s.Context(), by, "x")
	if err != nil {
		s.Fatal(err)
	}
	return r
}

func (s *subject) writes(by *session.Session) *rwlock.Write {
	s.Helper()
	w, err := rwlock.AcquireWrite(s.Context(), by, "x")
	if err != nil {
		s.Fatal(err)
	}
	return w
}

// rivalStands waits until the rival stands in line.
func (s *subject) rivalStands() {
	s.Helper()
	s.Eventually("the rival stands in line", func() bool {
		return slices.ContainsFunc(s.state().Waiters, func(w rwlock.Waiter) bool { return w.Labels["who"] == "rival" })
	})
}

// waitsToWrite has the rival stand in line.
func (s *subject) waitsToWrite() (got <-chan *rwlock.Write) {
	s.Helper()
	c := make(chan *rwlock.Write, 1)
	go func() {
		w, err := rwlock.AcquireWrite(context.Background(), s.rival, "x")
		if err != nil {
			s.Errorf("the rival: %v", err)
		}
		c <- w
	}()
	s.rivalStands()
	return c
}

func (s *subject) next(got <-chan *rwlock.Write) *rwlock.Write {
	s.Helper()
	select {
	case w := <-got:
		return w
	case <-time.After(atLast):
		s.Fatal("the waiter never gets the lock")
		return nil
	}
}

func (s *subject) release(h hold) {
	s.Helper()
	if err := h.Release(s.Context()); err != nil {
		s.Errorf("Release = %v", err)
	}
}

// holds fails unless h is held, as its holder and etcd see it, and nobody can write beside it.
func (s *subject) holds(h hold) {
	s.Helper()
	if err := h.Err(); err != nil {
		s.Errorf("the hold has ended: %v", err)
	}
	if _, err := h.Txn(s.Context()).Then(clientv3.OpGet("guarded")).Commit(); err != nil {
		s.Errorf("Txn = %v", err)
	}
	var err error
	s.Eventually("an answer", func() bool {
		_, err = rwlock.TryAcquireWrite(s.Context(), s.rival, "x")
		return !errors.Is(err, session.ErrUnavailable)
	})
	if !errors.Is(err, rwlock.ErrHeld) {
		s.Errorf("a rival's TryAcquireWrite = %v, want ErrHeld", err)
	}
}

// got judges what an acquisition has returned of a lock that is free, or will be, and goes on to its end.
func (s *subject) got(h hold, err error) {
	s.Helper()
	if err == nil {
		s.Calm()
		s.Reach(answers.Got)
		s.holds(h)
		s.release(h)
	} else {
		s.excused(err)
	}
	s.end()
}

// excused fails unless the fault explains err.
func (s *subject) excused(err error) {
	s.Helper()
	switch {
	case s.Form.Run == 0:
		s.Errorf("%v, and nothing was lost", err)
	case s.Form.Hurried && errors.Is(err, context.Canceled):
	case s.bounded && errors.Is(err, session.ErrUnavailable):
	default:
		s.Errorf("it failed with %v", err)
	}
}

// end: nobody of the subject's holds or waits any more, or will soon. A rival can write, and nothing that arrives later touches it. When the
// sessions are closed nothing is left.
func (s *subject) end() {
	s.Helper()
	s.free()
	s.Calm()
	s.Reach(answers.Released)
	s.free()
	next := s.writes(s.rival)
	s.Reach(answers.Taken)
	s.holds(next)
	if st := s.state(); len(st.Waiters)+len(st.Readers) > 0 {
		s.Errorf("%+v beside a writer", st)
	}
	s.release(next)
	for _, by := range []*session.Session{s.session, s.rival} {
		if err := by.Close(s.Context()); err != nil {
			s.Errorf("Close = %v", err)
		}
	}
	s.Reach(answers.Closed)
	s.free() // sweeps a tail that names nobody
	s.NothingLeft()
}

// free waits until nobody holds the lock or waits for it.
func (s *subject) free() {
	s.Helper()
	s.Eventually("nobody is there", func() bool {
		st := s.state()
		return st.Writer == nil && len(st.Readers)+len(st.Waiters) == 0
	})
}
