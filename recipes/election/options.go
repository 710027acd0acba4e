package election

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"

	"github.com/stile-dev/stile/recipes/internal/calls"
)

// maxValue is the longest value, in bytes: it is read with every look at the candidates.
const maxValue = 16 << 10

// config is what options set.
type config struct {
	value    string
	priority int
	preempt  bool
	again    backoff.BackOff
}

// An Option sets something about Campaign and Run.
type Option func(*config)

// Value is what the leader proclaims from the first moment of its term on, such as its address, and tells of itself as a candidate: UTF-8, at most
// 16 KiB, and no secrets. Term.Proclaim changes it.
func Value(value string) Option {
	return func(c *config) { c.value = value }
}

// Priority has candidates with larger numbers lead before those with smaller ones; among equals the one that came first. 0 by default, and
// negative ones are allowed. A leader stays, whoever comes, unless that one has the option Preempt.
func Priority(n int) Option {
	return func(c *config) { c.priority = n }
}

// Again has Run campaign again after its work has returned, nil or an error, with the pauses of b; it is reset when the work returned nil.
// When b says backoff.Stop, Run returns what the work has returned. That of backoff v4 says so 15 minutes after its last reset, unless it is told otherwise:
// backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0)). b is Run's own then: don't share it.
func Again(b backoff.BackOff) Option {
	return func(c *config) { c.again = b }
}

// A ClientOption sets something about the calls that take a client.
type ClientOption func(*calls.Reading)

// Root is the prefix of all keys, where the sessions have one of their own (session.Root).
func Root(prefix string) ClientOption {
	return func(r *calls.Reading) { r.Root = prefix }
}

func configure(opts []Option) (*config, error) {
	c := &config{}
	for _, opt := range opts {
		if opt != nil {
			opt(c)
		}
	}
	return c, checkValue(c.value)
}

func checkValue(value string) error {
	switch {
	case len(value) > maxValue:
		return fmt.Errorf("a value of %d bytes: the most is %d", len(value), maxValue)
	case !utf8.ValidString(value):
		return errors.New("the value is not UTF-8")
	}
	return nil
}
