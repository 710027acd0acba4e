package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that somebody else holds the lock, or waits for it. It comes as a *HeldError.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line.
	ErrRemoved = line.ErrRemoved
	// ErrWouldDeadlock says that the context comes from a hold on the same lock. Pass another if the wait is meant.
	ErrWouldDeadlock = errors.New("the context holds this lock already, waiting would be for oneself")
)

// HeldError tells who has the lock.
type HeldError struct {
	Name   string
	Holder Holder // as far as could be told at that time: etcd was asked again, and may have had another answer
}

func (e *HeldError) Error() string {
	h := e.Holder
	text := fmt.Sprintf("lock %q: held by process %d on %s", e.Name, h.PID, h.Host)
	if !h.Since.IsZero() {
		text += " since " + h.Since.Format(time.RFC3339)
	}
	return text
}

// Is makes it an ErrHeld.
func (*HeldError) Is(target error) bool { return target == ErrHeld }

// heldBy asks who the holder is. If that can't be told it is the last in line, who was there a moment ago.
func heldBy(ctx context.Context, c *calls.Call, err error) error {
	held := &HeldError{Name: c.Name}
	if last, ok := errors.AsType[*line.HeldError](err); ok {
		held.Holder = holder(line.Standing{Details: last.Last})
	}
	bound, cancel := c.Keeper.Bound(ctx, nil)
	defer cancel()
	if kv, err := c.Keeper.KV(); err == nil {
		if s, err := line.Read(bound, kv, c.Prefix); err == nil && len(s) > 0 {
			held.Holder = holder(s[0])
		}
	}
	return held
}
