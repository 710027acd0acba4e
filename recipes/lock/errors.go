package lock

import (
	"fmt"
	"time"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that somebody else holds the lock, or waits for it. It comes as a *HeldError.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line. If Remove did it comes as a *session.RevokedError, with the reason.
	ErrRemoved = line.ErrRemoved
	// ErrNotHeld says that there is nobody to take the lock from.
	ErrNotHeld = calls.ErrNotHeld
	// ErrNotWaiting says that there is nobody with that id in the line.
	ErrNotWaiting = calls.ErrNotWaiting
	// ErrWouldDeadlock says that the context comes from a hold on the same lock. Pass another if the wait is meant.
	ErrWouldDeadlock = calls.ErrWouldDeadlock
)

// HeldError tells who has the lock.
type HeldError struct {
	Name   string
	Kept   bool   // nobody holds it, but it is kept on behalf of Holder, who did (Delay, MinHold)
	Holder Holder // as far as could be told at that time: etcd was asked again, and may have had another answer
}

func (e *HeldError) Error() string {
	h, how := e.Holder, "held by"
	if e.Kept {
		how = "kept after"
	}
	text := fmt.Sprintf("lock %q: %s process %d on %s", e.Name, how, h.PID, h.Host)
	if !h.Since.IsZero() {
		text += " since " + h.Since.Format(time.RFC3339)
	}
	return text
}

// Is makes it an ErrHeld.
func (*HeldError) Is(target error) bool { return target == ErrHeld }

func heldBy(n line.Named) error {
	held := &HeldError{Name: n.Name, Kept: len(n.Kept) > 0}
	if h := first(append(n.Kept, n.Head()...)); h != nil {
		held.Holder = *h
	}
	return held
}
