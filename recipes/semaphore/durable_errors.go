package semaphore

import (
	"errors"
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

var (
	// ErrNotHeld says that the id holds no permit of the durable semaphore, or not the one with that token.
	ErrNotHeld = errors.New("not held")
	// ErrCondition says that a condition of the caller's own (If) does not hold. Nothing was changed.
	ErrCondition = errors.New("a condition given with If does not hold")
)

// errDurableConflict says that the record was not any more what a write was based on.
var errDurableConflict = errors.New("the semaphore was changed meanwhile")

// durableUnreadable says that the record is none that this package writes.
func durableUnreadable(key string, err error) error {
	return retry.Settled(fmt.Errorf("the record at %q can't be read, and is left as it is: %w", key, err))
}

// DurableFullError says that there is no room for one more holder: neither in all, nor, if Label is set, among those with
// the same value of that label. It Is ErrHeld of the package.
type DurableFullError struct {
	Name  string
	Limit int // the limit that leaves no room: the semaphore's or, if Label is set, the group's
	Held  int // how many permits are counted against it, which may be more since limits are lowered at any time
	Label string
	Value string
}

func (e *DurableFullError) Error() string {
	text := fmt.Sprintf("semaphore %q: full: %d of %d permits are held", e.Name, e.Held, e.Limit)
	if e.Label != "" {
		text += fmt.Sprintf(" by holders whose label %s is %q", e.Label, e.Value)
	}
	return text
}

// Is makes it an ErrHeld.
func (*DurableFullError) Is(target error) bool { return target == line.ErrHeld }
