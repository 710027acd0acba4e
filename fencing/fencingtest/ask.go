package fencingtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stile-dev/stile/fencing"
)

// late is when something that is waited for must have come.
const late = time.Minute

// resource is what most claims are on.
const resource = "lock/reports/nightly"

// A method is one of a gate's.
type method struct {
	name string
	call func(g fencing.Gate, ctx context.Context) error
}

var (
	check     = method{"Check", fencing.Gate.Check}
	checkRead = method{"CheckRead", fencing.Gate.CheckRead}
	seal      = method{"Seal", fencing.Gate.Seal}
	methods   = []method{check, checkRead, seal}
)

// An asker asks a gate, and fails the test if the answer isn't the right one.
type asker struct {
	tb   testing.TB
	gate fencing.Gate
}

// ask presents a claim.
func (a asker) ask(m method, c fencing.Claim) error {
	ctx, cancel := within(a.tb)
	defer cancel()
	return m.call(a.gate, fencing.NewContext(ctx, c))
}

func (a asker) admits(m method, c fencing.Claim) {
	a.tb.Helper()
	if err := a.ask(m, c); err != nil {
		a.tb.Errorf("%s of %s: %v, want nil", m.name, show(c), err)
	}
}

// refuses wants a StaleError that names one of the tokens seen.
func (a asker) refuses(m method, c fencing.Claim, seen ...fencing.Token) {
	a.tb.Helper()
	if err := stale(a.ask(m, c), c, seen); err != nil {
		a.tb.Errorf("%s of %s: %v", m.name, show(c), err)
	}
}

// stale says what is wrong with the error by which a claim was refused.
func stale(err error, c fencing.Claim, seen []fencing.Token) error {
	if !errors.Is(err, fencing.ErrStale) {
		return fmt.Errorf("%w, want an error that Is ErrStale", orNil(err))
	}
	s, ok := errors.AsType[*fencing.StaleError](err)
	if !ok {
		return fmt.Errorf("%w, want a *StaleError", err)
	}
	for _, token := range seen {
		if *s == (fencing.StaleError{Resource: c.Resource, Seen: token, Presented: c.Token}) {
			return nil
		}
	}
	return fmt.Errorf("%w, want seen %v", err, seen)
}

var errNil = errors.New("no error")

func orNil(err error) error {
	if err == nil {
		return errNil
	}
	return err
}

func within(tb testing.TB) (context.Context, context.CancelFunc) {
	tb.Helper()
	return context.WithTimeout(tb.Context(), late)
}

func exclusive(token fencing.Token) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: token}
}

func shared(token fencing.Token) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: token, Mode: fencing.Shared}
}

func rev(n int64) fencing.Token { return fencing.FromRevision(n) }

func show(c fencing.Claim) string { return fmt.Sprintf("%v %v on %q", c.Mode, c.Token, c.Resource) }

// parse is the only way to a token with an epoch or a sequence.
func parse(tb testing.TB, text string) fencing.Token {
	tb.Helper()
	token, err := fencing.Parse(text)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return token
}
