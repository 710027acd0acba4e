package rwlock

import (
	"context"
	"errors"
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that somebody else holds the lock in a way that excludes this one, or waits for it. It comes as a *HeldError.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line.
	ErrRemoved = line.ErrRemoved
	// ErrWouldDeadlock says that the context comes from a hold on the same lock, in either mode. Pass another if the wait is meant.
	ErrWouldDeadlock = errors.New("the context holds this lock already, waiting would be for oneself")
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

// heldBy asks who holds and who waits.
func heldBy(ctx context.Context, c *calls.Call) error {
	held := &HeldError{Name: c.Name}
	bound, cancel := c.Keeper.Bound(ctx, nil)
	defer cancel()
	if kv, err := c.Keeper.KV(); err == nil {
		if waiting, holders, err := line.ReadPlaced(bound, kv, c.Prefix); err == nil {
			held.State = state(line.Named{Name: c.Name, State: waiting, Holders: holders})
		}
	}
	return held
}
