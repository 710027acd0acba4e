// Package semaphore hands out permits on etcd.
package semaphore

import (
	"errors"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that there is no permit to be had at once.
	ErrHeld = line.ErrHeld
	// ErrLeased says that the name is that of a leased semaphore.
	ErrLeased = errors.New("this is a leased semaphore: it can't be a durable one as well")
	// ErrNoLimit says that the semaphore has no limit.
	ErrNoLimit = errors.New("no limit is set: call SetLimit, once and for all who use it")
)

// A ClientOption sets something about what takes a client.
type ClientOption func(*calls.Reading)

// Root is the prefix of all keys, where the sessions have one of their own (session.Root).
func Root(prefix string) ClientOption {
	return func(r *calls.Reading) { r.Root = prefix }
}

func lookers(opts []ClientOption) (all []func(*calls.Reading), err error) {
	for _, opt := range opts {
		if opt != nil {
			all = append(all, opt)
		}
	}
	return all, nil
}
