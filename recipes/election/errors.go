package election

import (
	"errors"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

var (
	// ErrNoLeader says that nobody leads at the moment.
	ErrNoLeader = errors.New("there is no leader")
	// ErrNoCandidate says that nobody with that id stands for the election.
	ErrNoCandidate = retry.Settled(errors.New("no such candidate"))
	// ErrRemoved says that somebody else took the candidate out of the line. If Remove did it comes as a *session.RevokedError, with the reason.
	ErrRemoved = line.ErrRemoved
	// ErrNotHeld says that nobody leads whom an order could be for.
	ErrNotHeld = calls.ErrNotHeld
	// ErrNotWaiting says that no candidate has that id.
	ErrNotWaiting = calls.ErrNotWaiting
	// ErrDrained says that the session stands for no election any more: Drain was called.
	ErrDrained = retry.Permanent(errors.New("the session was drained of its elections"))
	// ErrWouldDeadlock says that the context comes from a term of the same election. Pass another if the wait is meant.
	ErrWouldDeadlock = calls.ErrWouldDeadlock
)
