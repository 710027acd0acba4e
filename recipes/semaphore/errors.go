package semaphore

import (
	"errors"
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/semaphore/internal/slots"
)

var (
	// ErrHeld says that the permits asked for are not to be had at once, or that others wait for some. It comes as a *HeldError.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line. If Remove did it comes as a *session.RevokedError, with the reason.
	ErrRemoved = line.ErrRemoved
	// ErrNotHeld says that there is nobody to take permits from; of a durable semaphore, that the id holds none, or not the one with that token.
	ErrNotHeld = calls.ErrNotHeld
	// ErrNotWaiting says that there is nobody with that id in the line.
	ErrNotWaiting = calls.ErrNotWaiting
	// ErrNoLimit says that the semaphore has no limit: nobody has called SetLimit for that name, under that root. Nobody waits for it.
	ErrNoLimit = slots.ErrNoLimit
	// ErrLimitMismatch says that the limit is not the one that the caller counts on (Expect).
	ErrLimitMismatch = slots.ErrLimitMismatch
	// ErrNoLabel says that the semaphore spreads its permits by a label that the session does not have (session.Labels).
	ErrNoLabel = slots.ErrNoLabel
	// ErrWouldDeadlock says that the context comes from a hold on the same semaphore. Those who hold permits and wait for more can wait for each
	// other without end: acquire all at once, or pass another context if the wait is meant.
	ErrWouldDeadlock = calls.ErrWouldDeadlock
	// ErrLeased says that the name is that of a leased semaphore: its limit was set by SetLimit.
	ErrLeased = errors.New("this is a leased semaphore: it can't be a durable one as well")
	// ErrDurable says that the name is that of a durable semaphore: its limit is set there.
	ErrDurable = slots.ErrDurable
)

// A LimitError says that more permits were asked for than the semaphore can ever give to one: Asked of Limit; or, if Label and Most are set, of those
// that sessions with the same value of this label may have.
type LimitError = slots.LimitError

// HeldError tells who has the permits, and who waits.
type HeldError struct {
	Name  string
	Asked int
	State State // as far as could be told at that time: etcd was asked again, and may have had another answer
}

func (e *HeldError) Error() string {
	text := fmt.Sprintf("semaphore %q: held: %d asked for", e.Name, e.Asked)
	switch {
	case e.State.Limit == 0 && e.State.Name != "":
		text += ", closed: its limit is 0"
	case e.State.Limit > 0:
		text += fmt.Sprintf(", %d of %d taken", e.State.Taken(), e.State.Limit)
	}
	if n := len(e.State.Waiters); n > 0 {
		text += fmt.Sprintf(", %d waiting", n)
	}
	return text
}

// Is makes it an ErrHeld.
func (*HeldError) Is(target error) bool { return target == ErrHeld }
