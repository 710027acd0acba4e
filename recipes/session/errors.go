package session

import (
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/keys"
)

// What the user of a recipe decides on. They come wrapped, with the act and the name: use errors.Is.
var (
	// ErrLost says that a hold was taken away: its lease could not be renewed in time, or its key was changed or
	// deleted. Somebody else may hold it from a margin later on.
	ErrLost = keep.ErrLost
	// ErrReleased says that a hold was given back by its holder.
	ErrReleased = keep.ErrReleased
	// ErrClosed says that the session was closed. Open another.
	ErrClosed = keep.ErrClosed
	// ErrUncertain says that a hold is not believed right now: the wall clock jumped ahead, as it does after a pause of the
	// whole virtual machine, and etcd has not confirmed the hold since. Try again shortly; the hold's context has not ended.
	ErrUncertain = keep.ErrUncertain
	// ErrUnavailable says that etcd could not be reached, or did not answer in time: the ctx's, if the error Is ctx.Err() as well,
	// otherwise a limit of the call's own. Nothing was acquired. Somebody else's hold is not the reason: try again.
	ErrUnavailable = keep.ErrUnavailable
	// ErrBadName says that a name can't be one: it is empty, over 512 bytes, not UTF-8, or has a control character or a '#'.
	ErrBadName = keys.ErrName
	// ErrUnknownOutcome says that etcd did not answer, so that nobody knows whether it has done what was asked. For Release
	// and Close: what is left goes with the lease, after its TTL at the latest (a change of etcd's leader starts that anew).
	ErrUnknownOutcome = keep.ErrUnknownOutcome
)
