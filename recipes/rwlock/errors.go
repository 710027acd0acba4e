package rwlock

import (
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that somebody else holds the lock in a way that excludes this one, or waits for it. It comes as a *HeldError.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line. If Remove did it comes as a *session.RevokedError, with the reason.
	ErrRemoved = line.ErrRemoved
	// ErrNotHeld says that there is nobody to take the lock from.
	ErrNotHeld = calls.ErrNotHeld
	// ErrNotWaiting says that there is nobody with that id in the line.
	ErrNotWaiting = calls.ErrNotWaiting
	// ErrWouldDeadlock says that the context comes from a hold on the same lock, in either mode. Pass another if the wait is meant.
	ErrWouldDeadlock = calls.ErrWouldDeadlock
)

// HeldError tells who has the lock, or waits for it.
type HeldError struct {
	Name  string
	State State // as far as could be told at that time: etcd was asked again, and may have had another answer
}

func (e *HeldError) Error() string {
	text := fmt.Sprintf("rwlock %q: held", e.Name)
	switch s := e.State; {
	case s.Writer != nil:
		text += fmt.Sprintf(" for writing by process %d on %s", s.Writer.PID, s.Writer.Host)
	case len(s.Readers) > 0:
		text += fmt.Sprintf(" for reading by %d, the first of them process %d on %s", len(s.Readers), s.Readers[0].PID, s.Readers[0].Host)
	}
	if n := len(e.State.Waiters); n > 0 {
		text += fmt.Sprintf(", %d waiting", n)
	}
	return text
}

// Is makes it an ErrHeld.
func (*HeldError) Is(target error) bool { return target == ErrHeld }

func heldBy(n line.Named) error { return &HeldError{Name: n.Name, State: state(n)} }
