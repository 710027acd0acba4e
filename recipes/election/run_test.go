package election_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

var errWork = errors.New("work")

// once is a backoff that allows one more.
func once() backoff.BackOff { return backoff.WithMaxRetries(&backoff.ZeroBackOff{}, 1) }

// ends ends a ctx before a pause that takes too long.
type ends struct{ cancel context.CancelFunc }

func (e ends) NextBackOff() time.Duration { e.cancel(); return time.Hour }
func (ends) Reset()                       {}

func TestRunReturnsWhatTheWorkReturns(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	for _, want := range []error{nil, errWork} {
		runs := 0
		err := election.Run(t.Context(), s, "x", func(ctx context.Context, term *election.Term) error {
			runs++
			leads(t, c, term.Token(), "v")
			return want
		}, election.Value("v"))
		if !errors.Is(err, want) || runs != 1 {
			t.Errorf("Run = %v after %d runs, want %v after 1", err, runs, want)
		}
		nothing(t, c)
	}
}

func TestRunAgain(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	var terms []string
	err := election.Run(t.Context(), s, "x", func(_ context.Context, term *election.Term) error {
		terms = append(terms, term.Token().String())
		return errWork
	}, election.Again(backoff.WithMaxRetries(&backoff.ZeroBackOff{}, 2)))
	if !errors.Is(err, errWork) || len(terms) != 3 || terms[0] == terms[1] || terms[1] == terms[2] {
		t.Errorf("Run = %v after the terms %v, want the work's error after 3", err, terms)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = election.Run(ctx, s, "x", func(context.Context, *election.Term) error { return errWork }, election.Again(ends{cancel}))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errWork) {
		t.Errorf("Run = %v, want that its ctx ended before it campaigned again, and what the work had returned", err)
	}
	nothing(t, c)
}

// TestRunCampaignsAgainAfterALoss: whatever the work returns, and only when it has.
func TestRunCampaignsAgainAfterALoss(t *testing.T) {
	for _, result := range []error{nil, errWork} {
		c := recipestest.Client(t)
		s := open(t, c)
		runs, going := 0, 0
		err := election.Run(t.Context(), s, "x", func(ctx context.Context, _ *election.Term) error {
			if going++; going > 1 {
				t.Error("two runs overlap")
			}
			defer func() { going-- }()
			if runs++; runs == 3 {
				return nil
			}
			if runs == 1 {
				recipestest.RevokeLeaseOf(t, c, place)
			} else {
				recipestest.Delete(t, c, place)
			}
			<-ctx.Done()
			return result
		})
		if err != nil || runs != 3 {
			t.Errorf("Run = %v after %d runs, want nil after 3", err, runs)
		}
		nothing(t, c)
	}
}

// TestRunKeepsLeadingUntilTheWorkHasReturned: whether its ctx ends, or it hands over, resigns or is drained.
func TestRunKeepsLeadingUntilTheWorkHasReturned(t *testing.T) {
	for what, end := range map[string]func(cancel func(), s *session.Session, term *election.Term, to string) error{
		"ctx": func(cancel func(), _ *session.Session, _ *election.Term, _ string) error { cancel(); return nil },
		"Resign": func(_ func(), _ *session.Session, term *election.Term, _ string) error {
			return term.Resign(t.Context())
		},
		"Release": func(_ func(), _ *session.Session, term *election.Term, _ string) error {
			return term.Release(t.Context())
		},
		"Hold.Release": func(_ func(), _ *session.Session, term *election.Term, _ string) error {
			return term.Hold.Release(t.Context()) // of the session's hold that a term is
		},
		"HandOver": func(_ func(), _ *session.Session, term *election.Term, to string) error {
			return term.HandOver(t.Context(), to)
		},
		"Drain": func(_ func(), s *session.Session, _ *election.Term, _ string) error {
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if err := election.Drain(over, s); !errors.Is(err, context.Canceled) {
				t.Errorf("Drain = %v, want that it could not wait", err)
			}
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := recipestest.Client(t)
			s, other := open(t, c), open(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var first, last *runner
			err := election.Run(ctx, s, "x", func(ctx context.Context, term *election.Term) error {
				first, last = campaigns(t, other, c), campaigns(t, other, c)
				if err := end(cancel, s, term, last.id); err != nil {
					t.Errorf("%s = %v", what, err)
				}
				<-ctx.Done()
				leads(t, c, term.Token(), "")
				return nil
			})
			if what == "Drain" && !errors.Is(err, election.ErrDrained) || what != "Drain" && err != nil {
				t.Errorf("Run = %v", err)
			}
			if what == "HandOver" {
				first, last = last, first
			}
			resign(t, first.leads(t))
			resign(t, last.leads(t))
		})
	}
}

// TestWorkThatIgnoresItsContextIsReported: once.
func TestWorkThatIgnoresItsContextIsReported(t *testing.T) {
	c := recipestest.Client(t)
	var log lines
	s := open(t, c, session.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	ctx, cancel := context.WithCancel(t.Context())
	err := election.Run(ctx, s, "x", func(context.Context, *election.Term) error {
		cancel()
		eventually(t, "nobody was told", func() bool { return strings.Contains(log.String(), "goes on although its context has ended") })
		return nil
	})
	if err != nil {
		t.Errorf("Run = %v", err)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "election=x") || !strings.Contains(text, "canceled") {
		t.Errorf("the log says %q", text)
	}
}

type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestAPanicResigns(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not go through")
			}
		}()
		_ = election.Run(t.Context(), s, "x", func(context.Context, *election.Term) error { panic("work") })
	}()
	nothing(t, c)
	if err := election.Drain(t.Context(), s); err != nil {
		t.Errorf("Drain = %v", err)
	}
}

// TestDrain: waiting campaigns end, terms are given to others, and nothing begins.
func TestDrain(t *testing.T) {
	c := recipestest.Client(t)
	s, other := open(t, c), open(t, c)
	term := win(t, s)
	waits := campaigns(t, s, c)
	next := campaigns(t, other, c)
	foreign := win2(t, other, "z")
	inZ := make(chan error, 1)
	go func() { inZ <- second(election.Campaign(t.Context(), s, "z")) }()
	eventually(t, "it does not stand", func() bool {
		st, err := election.Inspect(t.Context(), c, "z")
		return err == nil && len(st.Candidates) == 1
	})
	y := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		y <- election.Run(t.Context(), s, "y", func(ctx context.Context, _ *election.Term) error {
			close(started)
			<-ctx.Done()
			return context.Cause(ctx)
		}, election.Again(&backoff.ZeroBackOff{}))
	}()
	<-started
	limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := election.Drain(limited, s); err != nil {
		t.Fatalf("Drain = %v", err)
	}
	if _, err := election.Leader(t.Context(), c, "y"); !errors.Is(err, election.ErrNoLeader) {
		t.Errorf("Leader of y = %v, want ErrNoLeader", err)
	}
	if err := context.Cause(term.Context()); !errors.Is(err, election.ErrDrained) {
		t.Errorf("the term has ended with %v, want ErrDrained", err)
	}
	if _, won := <-waits.won; won || !errors.Is(waits.err, election.ErrDrained) || errors.Is(waits.err, context.Canceled) {
		t.Errorf("who waited got %v, want ErrDrained", waits.err)
	}
	if err := <-y; !errors.Is(err, election.ErrDrained) {
		t.Errorf("Run = %v, want ErrDrained", err)
	}
	if err := <-inZ; !errors.Is(err, election.ErrDrained) {
		t.Errorf("who waited for another session got %v, want ErrDrained", err)
	}
	if _, err := election.Campaign(limited, s, "z"); !errors.Is(err, election.ErrDrained) {
		t.Errorf("Campaign = %v, want ErrDrained", err)
	}
	resign(t, foreign)
	resign(t, next.leads(t))
	if err := election.Drain(t.Context(), s); err != nil {
		t.Errorf("Drain again = %v", err)
	}
	nothing(t, c)
}
