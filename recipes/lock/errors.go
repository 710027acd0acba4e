package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-dev/stile/recipes/internal/line"
)

var (
	// ErrHeld says that somebody else holds the lock, or waits for it. It comes as a *HeldError.
	ErrHeld = line.ErrHeld
	// ErrRemoved says that somebody else took the acquisition out of the line.
	ErrRemoved = line.ErrRemoved
	// ErrWouldDeadlock says that the context carries a hold on the same lock: waiting would be for oneself. Pass a context without
	// it if the wait is meant, in a goroutine that the holder does not wait for.
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
func (a *acquisition) heldBy(ctx context.Context, err error) error {
	held := &HeldError{Name: a.name}
	var last *line.HeldError
	if errors.As(err, &last) {
		held.Holder = holder(line.Standing{Details: last.Last})
	}
	bound, cancel := a.keeper.Bound(ctx, nil)
	defer cancel()
	kv, kvErr := a.keeper.KV()
	if kvErr != nil {
		return held
	}
	if s, readErr := line.Read(bound, kv, a.prefix); readErr == nil && len(s) > 0 {
		held.Holder = holder(s[0])
	}
	return held
}
