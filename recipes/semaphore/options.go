package semaphore

import (
	"errors"
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keys"
)

// An Option sets something about an acquisition.
type Option func(*request)

// Expect is the limit that the caller counts on: if another one is in force when its request comes, or when its turn does, the error Is
// ErrLimitMismatch. A semaphore that is closed has it wait, as everybody.
func Expect(limit int) Option {
	return func(r *request) { r.expect = &limit }
}

// request is what an acquisition asks for.
type request struct {
	n      int
	expect *int
}

// ask checks what somebody asks for, before anything is sent.
func ask(n int, opts []Option) (request, error) {
	r := request{n: n}
	for _, opt := range opts {
		if opt != nil {
			opt(&r)
		}
	}
	switch {
	case n < 1:
		return r, fmt.Errorf("acquire %d permits: it must be at least 1", n)
	case n > MaxAtOnce:
		return r, fmt.Errorf("acquire %d permits: one acquisition can have %d", n, MaxAtOnce)
	case r.expect != nil && (*r.expect < 1 || *r.expect > MaxLimit):
		return r, fmt.Errorf("expect a limit of %d: it is from 1 to %d", *r.expect, MaxLimit)
	case r.expect != nil && *r.expect < n:
		return r, fmt.Errorf("acquire %d permits, and expect a limit of %d", n, *r.expect)
	}
	return r, nil
}

// A ClientOption sets something about the calls that take a client.
type ClientOption func(*settings)

// settings are what the options of those set who only have a client.
type settings struct {
	reading  []func(*calls.Reading) // what all of them share
	spread   *SpreadLimit
	noSpread bool
}

// Root is the prefix of all keys, where the sessions have one of their own (session.Root).
func Root(prefix string) ClientOption {
	return shared(func(r *calls.Reading) { r.Root = prefix })
}

// By says who gives an order (Revoke, Force, Remove); by default it is the user of this process, at this host.
func By(who string) ClientOption {
	return shared(func(r *calls.Reading) { r.By = who })
}

// ID has an order be for one acquisition alone, of those who hold permits.
func ID(id string) ClientOption {
	return shared(func(r *calls.Reading) { r.ID = id })
}

func shared(set func(*calls.Reading)) ClientOption {
	return func(s *settings) { s.reading = append(s.reading, set) }
}

// Spread has SetLimit say that at most so many permits are held by sessions that have the same value of this label (session.Labels): no more than
// two in a rack, one in a zone. A session that doesn't have the label gets none: ErrNoLabel. Who is next in line and doesn't fit has those behind it
// wait, even if they would.
func Spread(label string, most int) ClientOption {
	return func(s *settings) { s.spread = &SpreadLimit{Label: label, Most: most} }
}

// NoSpread has SetLimit take back what Spread has said.
func NoSpread() ClientOption {
	return func(s *settings) { s.noSpread = true }
}

func asked(opts []ClientOption) (s settings) {
	for _, opt := range opts {
		if opt != nil {
			opt(&s)
		}
	}
	return s
}

func (s settings) check() error {
	switch {
	case s.spread != nil && s.noSpread:
		return errors.New("Spread and NoSpread at once")
	case s.spread != nil && (s.spread.Label == "" || len(s.spread.Label) > keys.MaxName || keys.CheckText(s.spread.Label) != nil):
		return fmt.Errorf("spread by %.20q: a label is text of 1 to %d bytes", s.spread.Label, keys.MaxName)
	case s.spread != nil && (s.spread.Most < 1 || s.spread.Most > MaxLimit):
		return fmt.Errorf("spread by %q: %d with the same value: it is from 1 to %d", s.spread.Label, s.spread.Most, MaxLimit)
	}
	return nil
}

// lookers are the options of a call other than SetLimit.
func lookers(opts []ClientOption) ([]func(*calls.Reading), error) {
	s := asked(opts)
	if s.spread != nil || s.noSpread {
		return nil, errors.New("semaphore: Spread and NoSpread are options of SetLimit")
	}
	return s.reading, nil
}
