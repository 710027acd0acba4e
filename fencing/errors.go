package fencing

import (
	"errors"
	"fmt"
)

// The errors of guards and of the context carrier. They come wrapped with the
// resource where there is one: compare with errors.Is.
var (
	// ErrStale says that the resource has seen a larger token: somebody else has got
	// the hold since, so stop. The error of a Gate is a *StaleError.
	ErrStale = errors.New("stale fencing token")

	// ErrNoClaim says that the context carries no claim, none on the resource that For
	// asked for, or one without a token. Often the outer context was passed instead of
	// the hold's.
	ErrNoClaim = errors.New("no claim in the context")

	// ErrAmbiguousClaim says that the context carries several claims and nothing says
	// which of them is meant: narrow it with For.
	ErrAmbiguousClaim = errors.New("several claims in the context")

	// ErrBadClaim says that a claim names no resource or has an unknown mode.
	ErrBadClaim = errors.New("bad claim")

	// ErrEnded says that the hold behind the claim has ended in this process, or is not believed
	// right now. The error also Is the reason for that.
	ErrEnded = errors.New("the hold is not in force")

	// ErrShared says that a shared claim was presented for what needs an exclusive one.
	ErrShared = errors.New("a shared claim does not allow this")

	// ErrUnknownOutcome says that the resource gave no answer, so that nobody knows whether a write
	// was done, or still will be. A guard says so where it can't try again: the write may not be
	// safe to repeat. Look, or make it one that may be repeated.
	ErrUnknownOutcome = errors.New("unknown outcome")

	// ErrBadToken says that a text is not the canonical text of a token.
	ErrBadToken = errors.New("not a fencing token")
)

// StaleError says which token a resource refused, and the larger one because of which
// it did. It Is ErrStale.
type StaleError struct {
	Resource  string // the name in the claim
	Seen      Token  // the larger token that the resource has seen
	Presented Token  // the smaller token that it refused
}

// Error names the resource and both tokens.
func (e *StaleError) Error() string {
	return fmt.Sprintf("fencing %q: %v: %v was presented, %v was seen", e.Resource, ErrStale, e.Presented, e.Seen)
}

// Is reports whether target is ErrStale.
func (e *StaleError) Is(target error) bool { return target == ErrStale }
