package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

const ttl = 60 * time.Second // nothing ends by itself while a test runs

// TestLostAnswers: whichever request of a session gets no answer, the result is right or says that it is not known, and after Close nothing is
// left but, until its TTL is over, a lease without keys of whose grant the client has not heard.
func TestLostAnswers(t *testing.T) {
	answers.Each(t, map[string]func(*answers.Case){
		"Open": func(c *answers.Case) {
			var s *session.Session
			var err error
			c.Call(func(ctx context.Context) { s, err = session.Open(ctx, c.Client, session.TTL(ttl)) })
			if !started(c, err) {
				if s != nil {
					c.Errorf("a session came with the error %v", err)
				}
				c.NoKeys() // leases may stay: nobody is left to revoke them
				return
			}
			closes(c, s)
		},
		"Start": func(c *answers.Case) {
			s := unopened(c)
			var err error
			c.Call(func(ctx context.Context) { err = s.Start(ctx) })
			if !started(c, err) {
				c.Calm() // again, for that one may share the attempt that has no answer
				if err := errors.Join(s.Start(c.Context()), s.Start(c.Context())); err != nil && s.Granted() == 0 {
					c.Errorf("starting again: %v", err)
				}
			}
			if got := s.Granted(); got != ttl {
				c.Errorf("granted %v, want %v", got, ttl)
			}
			closes(c, s)
		},
		"Close": func(c *answers.Case) {
			s := unopened(c)
			if err := s.Start(c.Context()); err != nil {
				c.Fatal(err)
			}
			var err error
			c.Call(func(ctx context.Context) { err = s.Close(ctx) })
			closed(c, s, err)
		},
		"Close while the lease is opened": func(c *answers.Case) {
			s := unopened(c)
			start := make(chan error, 1)
			var err error
			c.Call(func(ctx context.Context) {
				go func() { start <- s.Start(context.Background()) }()
				c.Eventually("the lease is asked for", func() bool { return c.Requests() > 0 })
				err = s.Close(ctx)
			})
			if err := <-start; err != nil && !errors.Is(err, session.ErrClosed) && !errors.Is(err, context.Canceled) {
				c.Errorf("Start = %v, want nil or ErrClosed", err)
			}
			closed(c, s, err)
		},
	})
}

func unopened(c *answers.Case) *session.Session {
	c.Helper()
	s, err := session.New(c.Client, session.TTL(ttl), session.CleanupTimeout(time.Second))
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// started judges what opening a lease has returned. It is one attempt: when nothing comes the attempt fails, and etcd's client repeats it
// after a reset.
func started(c *answers.Case, err error) bool {
	c.Helper()
	switch {
	case err == nil:
		return true
	case c.Form.Hurried && errors.Is(err, context.Canceled):
	case c.Form.Symptom == recipestest.Silence && c.Form.Run > 0 && errors.Is(err, session.ErrUnavailable):
	default:
		c.Errorf("opening a lease: %v", err)
	}
	return false
}

func closes(c *answers.Case, s *session.Session) {
	c.Helper()
	c.Calm()
	c.Reach(answers.Got)
	if err := s.Close(context.Background()); err != nil {
		c.Errorf("Close = %v", err)
	}
	c.NothingLeft()
}

// closed judges what Close has returned.
func closed(c *answers.Case, s *session.Session, err error) {
	c.Helper()
	if err != nil && !errors.Is(err, session.ErrUnknownOutcome) {
		c.Errorf("Close = %v, want nil or ErrUnknownOutcome", err)
	}
	if c.Form.Run == 0 && err != nil {
		c.Errorf("Close = %v, and nothing was lost", err)
	}
	if s.Granted() != 0 {
		c.Error("a closed session has a lease")
	}
	c.NothingLeft()
}
