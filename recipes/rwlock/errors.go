package rwlock

import (
	"errors"

	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that somebody else holds the lock in a way that excludes this one, or waits for it.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line.
	ErrRemoved = line.ErrRemoved
	// ErrWouldDeadlock says that the context comes from a hold on the same lock.
	ErrWouldDeadlock = errors.New("the context holds this lock already, waiting would be for oneself")
)
