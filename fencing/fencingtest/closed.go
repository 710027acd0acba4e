package fencingtest

import (
	"context"
	"errors"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

func isShared(err error) bool { return errors.Is(err, fencing.ErrShared) }

var errGone = errors.New("the lease was lost")

// A misuse is a context that no gate may accept, and what it says then.
type misuse struct {
	name string
	ctx  context.Context
	want []error
}

func misuses(tb testing.TB) []misuse {
	tb.Helper()
	outer := tb.Context()
	with := func(c fencing.Claim) context.Context { return fencing.NewContext(outer, c) }
	good, other := exclusive(rev(9)), exclusive(rev(9))
	other.Resource = "lock/other"
	ended, end := context.WithCancel(with(good))
	end()
	expired, expire := context.WithTimeout(with(good), -1)
	expire()
	return []misuse{
		{"no context", nil, []error{fencing.ErrNoClaim}},
		{"no claim", outer, []error{fencing.ErrNoClaim}},
		{"no token", with(exclusive(fencing.Token{})), []error{fencing.ErrNoClaim}},
		{"For what is not there", fencing.For(with(good), other.Resource), []error{fencing.ErrNoClaim}},
		{"two claims", fencing.NewContext(with(good), other), []error{fencing.ErrAmbiguousClaim}},
		{"no resource", with(fencing.Claim{Token: rev(9)}), []error{fencing.ErrBadClaim}},
		{"unknown mode", with(fencing.Claim{Resource: resource, Token: rev(9), Mode: 7}), []error{fencing.ErrBadClaim}},
		{"hold ended", with(good.Bind(func() error { return errGone })), []error{fencing.ErrEnded, errGone}},
		{"ctx cancelled", ended, []error{context.Canceled}},
		{"ctx expired", expired, []error{context.DeadlineExceeded}},
	}
}

// failsClosed: what can't be right is refused, and not remembered.
func failsClosed(tb testing.TB, g Guard) {
	tb.Helper()
	for _, bad := range misuses(tb) {
		for _, m := range methods {
			bad.wantRefused(tb, m.name, m.call(g.Gate, bad.ctx))
		}
	}
	asker{tb, g.Gate}.admits(check, exclusive(rev(1)))
}

// write: it writes what is admitted and nothing else.
func write(tb testing.TB, g Guard) {
	tb.Helper()
	r := register{tb, g}
	r.wants("")
	for _, bad := range misuses(tb) {
		if bad.ctx != nil { // what comes before the check may need one
			bad.wantRefused(tb, "Write", g.Write(bad.ctx, bad.name))
		}
	}
	if err := r.write(shared(rev(9)), "shared"); !isShared(err) {
		tb.Errorf("Write of a shared claim: %v, want ErrShared", err)
	}
	r.wants("")
	for _, token := range []fencing.Token{rev(5), rev(5), rev(9), rev(10)} { // 10 is smaller than 9 as a text
		if err := r.write(exclusive(token), token.String()); err != nil {
			tb.Errorf("Write with %v: %v", token, err)
		}
		r.wants(token.String())
	}
	a := asker{tb, g.Gate}
	for _, m := range methods {
		a.refuses(m, exclusive(rev(9)), rev(10)) // Write remembers
	}
	a.admits(seal, exclusive(rev(12)))
	for _, token := range []fencing.Token{rev(5), rev(10), rev(11)} {
		c := exclusive(token)
		if err := stale(r.write(c, "late"), c, []fencing.Token{rev(12)}); err != nil {
			tb.Errorf("Write with %v: %v", token, err)
		}
	}
	r.wants("10")
}

func (bad misuse) wantRefused(tb testing.TB, what string, err error) {
	tb.Helper()
	for _, want := range bad.want {
		if !errors.Is(err, want) {
			tb.Errorf("%s with %s: %v, want %v", what, bad.name, err, want)
		}
	}
}

// A register is the value that a guard protects.
type register struct {
	tb testing.TB
	Guard
}

func (r register) write(c fencing.Claim, value string) error {
	ctx, cancel := within(r.tb)
	defer cancel()
	return r.Write(fencing.NewContext(ctx, c), value)
}

func (r register) read() string {
	r.tb.Helper()
	ctx, cancel := within(r.tb)
	defer cancel()
	value, err := r.Read(ctx)
	if err != nil {
		r.tb.Errorf("Read: %v", err)
	}
	return value
}

// token is that of the value, if the value is the text of one; zero if nothing was written.
func (r register) token() fencing.Token {
	r.tb.Helper()
	value := r.read()
	if value == "" {
		return fencing.Token{}
	}
	token, err := fencing.Parse(value)
	if err != nil {
		r.tb.Errorf("the value is %q, want a token that was written", value)
	}
	return token
}

func (r register) wants(want string) {
	r.tb.Helper()
	if got := r.read(); got != want {
		r.tb.Errorf("the value is %q, want %q", got, want)
	}
}
