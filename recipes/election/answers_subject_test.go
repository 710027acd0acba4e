package election_test

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// subject is a case with the session whose answers are lost, and a rival's.
type subject struct {
	*answers.Case
	session  *session.Session
	rival    *session.Session
	returned chan struct{} // closed when the call has
}

const atLast = 30 * time.Second // for what must come

// withSessions is a scenario whose sessions have their leases, which don't end while a test runs: whatever goes before that was cleaned up.
func withSessions(play func(s *subject)) func(*answers.Case) {
	return func(c *answers.Case) {
		s := &subject{Case: c, returned: make(chan struct{})}
		s.session = s.opens(c.Client, session.CleanupTimeout(2*time.Second))
		s.rival = s.opens(c.Others, session.CleanupTimeout(atLast))
		play(s)
	}
}

func (s *subject) opens(client *clientv3.Client, opts ...session.Option) *session.Session {
	s.Helper()
	opened, err := session.Open(s.Context(), client, append(opts, session.TTL(120*time.Second))...)
	if err != nil {
		s.Fatal(err)
	}
	return opened
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

// over reports whether the call has returned.
func (s *subject) over() bool {
	select {
	case <-s.returned:
		return true
	default:
		return false
	}
}

// sends waits until the call has sent n requests, or returned.
func (s *subject) sends(n int) {
	s.Helper()
	s.Eventually("the requests are sent", func() bool { return s.over() || s.Requests() >= n })
}

func (s *subject) state() (st election.State) {
	s.Helper()
	s.Eventually("an answer", func() bool {
		var err error
		st, err = election.Inspect(s.Context(), s.Others, "x")
		return err == nil
	})
	return st
}

// leads has somebody lead whose answers are not lost.
func (s *subject) leads(by *session.Session, opts ...election.Option) *election.Term {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), atLast)
	defer cancel()
	term, err := election.Campaign(ctx, by, "x", opts...)
	if err != nil {
		s.Fatalf("Campaign = %v", err)
	}
	return term
}

// candidate has somebody stand for the election.
func (s *subject) candidate(by *session.Session, opts ...election.Option) (id string, won <-chan *election.Term) {
	s.Helper()
	before := map[string]bool{}
	for _, one := range s.state().Candidates {
		before[one.ID] = true
	}
	c := make(chan *election.Term, 1)
	go func() {
		defer close(c)
		if term, err := election.Campaign(context.Background(), by, "x", opts...); err == nil {
			c <- term
		}
	}()
	s.Eventually("it stands", func() bool {
		for _, one := range s.state().Candidates {
			if !before[one.ID] {
				id = one.ID
			}
		}
		return id != ""
	})
	return id, c
}

// next is what a candidate wins.
func (s *subject) next(won <-chan *election.Term) *election.Term {
	s.Helper()
	select {
	case term := <-won:
		if term != nil {
			return term
		}
		s.Fatal("the candidate did not win")
	case <-time.After(atLast):
		s.Fatal("the candidate never wins")
	}
	return nil
}

// holds fails unless term is the one in force, as its holder and etcd see it.
func (s *subject) holds(term *election.Term) {
	s.Helper()
	if err := term.Err(); err != nil {
		s.Errorf("the term has ended: %v", err)
	}
	if st := s.state(); st.Leader == nil || st.Leader.Term != term.Token() {
		s.Errorf("Inspect = %+v, want the term %v", st, term.Token())
	}
	if _, err := term.Txn(s.Context()).Then(clientv3.OpPut("guarded", "v")).Commit(); err != nil {
		s.Errorf("Txn = %v", err)
	}
}

func (s *subject) resign(term *election.Term) {
	s.Helper()
	if err := term.Resign(s.Context()); err != nil {
		s.Errorf("Resign = %v", err)
	}
}

// crash ends the lease of whoever leads.
func (s *subject) crash() {
	s.Helper()
	recipestest.RevokeLeaseOf(s, s.Others, place)
}

// got judges what a campaign that must be won has returned, and goes on to its end.
func (s *subject) got(term *election.Term, err error) {
	s.Helper()
	if err == nil {
		s.Calm()
		s.Reach(answers.Got)
		s.holds(term)
		s.resign(term)
	} else if s.Form.Run == 0 || !s.Form.Hurried || !errors.Is(err, context.Canceled) {
		s.Errorf("it failed with %v", err)
	}
	s.end()
}

// free waits until nobody leads or stands.
func (s *subject) free() {
	s.Helper()
	s.Eventually("nobody leads or stands", func() bool {
		st := s.state()
		return st.Leader == nil && len(st.Candidates) == 0
	})
}

// end: nobody leads or stands any more, or will be soon. A rival can lead, and nothing that arrives later touches it. When the sessions are closed
// nothing is left.
func (s *subject) end() {
	s.Helper()
	s.free()
	s.Calm()
	s.Reach(answers.Released)
	s.free()
	next := s.leads(s.rival)
	s.Reach(answers.Taken)
	s.holds(next)
	if n := len(s.state().Candidates); n > 0 {
		s.Errorf("%d stand for the election", n)
	}
	s.resign(next)
	if err := errors.Join(s.session.Close(s.Context()), s.rival.Close(s.Context())); err != nil {
		s.Errorf("Close = %v", err)
	}
	s.Reach(answers.Closed)
	s.free()
	if _, err := s.Others.Delete(s.Context(), "guarded"); err != nil {
		s.Error(err)
	}
	s.NothingLeft()
}
