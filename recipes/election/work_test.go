package election_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestWorkThatResignsHasNotFailed: it returns what its context says then. Anything else is an error of its own.
func TestWorkThatResignsHasNotFailed(t *testing.T) {
	c := recipestest.Client(t)
	s, other := open(t, c), open(t, c)
	for what, end := range map[string]func(term *election.Term, to string) error{
		"Resign":   func(term *election.Term, _ string) error { return term.Resign(t.Context()) },
		"HandOver": func(term *election.Term, to string) error { return term.HandOver(t.Context(), to) },
	} {
		for result, says := range map[error]func(ctx context.Context) error{
			context.Canceled:    func(ctx context.Context) error { return fmt.Errorf("work: %w", ctx.Err()) },
			session.ErrReleased: context.Cause,
			errWork:             func(context.Context) error { return errWork },
		} {
			var next *runner
			err := election.Run(t.Context(), s, "x", func(ctx context.Context, term *election.Term) error {
				next = campaigns(t, other, c)
				if err := end(term, next.id); err != nil {
					t.Errorf("%s = %v", what, err)
				}
				<-ctx.Done()
				return says(ctx)
			})
			if result == errWork && !errors.Is(err, errWork) || result != errWork && err != nil { //nolint:errorlint // which of the two it is
				t.Errorf("%s: work returned %v, and Run %v", what, result, err)
			}
			resign(t, next.leads(t))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := election.Run(ctx, s, "x", func(_ context.Context, term *election.Term) error {
		cancel()
		return errors.Join(term.Resign(t.Context()), ctx.Err())
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the end of its ctx", err)
	}
	nothing(t, c)
}

// TestAnErrorOfWorkWhoseTermWasLostIsReported: nobody else hears of it.
func TestAnErrorOfWorkWhoseTermWasLostIsReported(t *testing.T) {
	for _, result := range []error{errWork, nil, session.ErrLost, context.Canceled} {
		c := recipestest.Client(t)
		var log lines
		s := open(t, c, session.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		runs := 0
		err := election.Run(t.Context(), s, "x", func(ctx context.Context, _ *election.Term) error {
			if runs++; runs == 2 {
				return nil
			}
			recipestest.Delete(t, c, place)
			<-ctx.Done()
			return result
		})
		if err != nil || runs != 2 {
			t.Errorf("Run = %v after %d runs", err, runs)
		}
		told := strings.Count(log.String(), "whose term was lost has failed")
		if want := map[bool]int{true: 1}[result == errWork]; told != want { //nolint:errorlint // likewise
			t.Errorf("work returned %v, and the log says %q", result, log.String())
		}
	}
}
