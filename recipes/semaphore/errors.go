package semaphore

import (
	"context"
	"errors"
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that the permits asked for are not to be had at once, or that others wait for some. It comes as a *HeldError.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line.
	ErrRemoved = line.ErrRemoved
	// ErrNoLimit says that the semaphore has no limit: nobody has called SetLimit for that name, under that root. Nobody waits for it.
	ErrNoLimit = errors.New("no limit is set: call SetLimit, once and for all who use it")
	// ErrLimitMismatch says that the limit is not the one that the caller counts on (Expect).
	ErrLimitMismatch = errors.New("the limit is another one")
	// ErrNoLabel says that the semaphore spreads its permits by a label that the session does not have (session.Labels).
	ErrNoLabel = errors.New("the session does not have the label by which the permits are spread")
	// ErrWouldDeadlock says that the context comes from a hold on the same semaphore. Those who hold permits and wait for more can wait for each
	// other without end: acquire all at once, or pass another context if the wait is meant.
	ErrWouldDeadlock = errors.New("the context holds permits of this semaphore already, and those who wait for more may wait for each other")
	// ErrLeased says that the name is that of a leased semaphore: its limit was set by SetLimit.
	ErrLeased = errors.New("this is a leased semaphore: it can't be a durable one as well")
	// ErrDurable says that the name is that of a durable semaphore: its limit is set there.
	ErrDurable = errors.New("this is a durable semaphore: it can't be a leased one as well")
)

// A LimitError says that more permits were asked for than the semaphore can ever give to one.
type LimitError struct {
	Name  string
	Asked int
	Limit int // in force when it was refused
	// Label and Most say that the limit was not the reason, but the spread: at most so many with the same value of this label.
	Label string
	Most  int
}

func (e *LimitError) Error() string {
	if e.Label != "" {
		return fmt.Sprintf("semaphore %q: %d permits were asked for, and at most %d may have the same %s", e.Name, e.Asked, e.Most, e.Label)
	}
	return fmt.Sprintf("semaphore %q: %d permits were asked for, and the limit is %d", e.Name, e.Asked, e.Limit)
}

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

// heldBy asks who holds and who waits.
func heldBy(ctx context.Context, c *calls.Call, n int) error {
	held := &HeldError{Name: c.Name, Asked: n}
	bound, cancel := c.Keeper.Bound(ctx, nil)
	defer cancel()
	if kv, err := c.Keeper.KV(); err == nil {
		if now, err := line.ReadNamed(bound, kv, c.Prefix, c.Name); err == nil {
			held.State = state(now)
		}
	}
	return held
}
