package semaphore

import (
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/semaphore/internal/durable"
)

// ErrCondition says that a condition of the caller's own (If) does not hold. Nothing was changed.
var ErrCondition = durable.ErrCondition

// DurableFullError says that there is no room for one more holder: neither in all, nor, if Label is set, among those with
// the same value of that label. It Is ErrHeld.
type DurableFullError struct {
	Name  string
	Limit int // the limit that leaves no room: the semaphore's or, if Label is set, the group's
	Held  int // how many permits are counted against it, which may be more since limits are lowered at any time
	Label string
	Value string
}

func (e *DurableFullError) Error() string {
	return fmt.Sprintf("semaphore %q: %v", e.Name, &durable.FullError{Limit: e.Limit, Held: e.Held, Label: e.Label, Value: e.Value})
}

// Is makes it an ErrHeld.
func (*DurableFullError) Is(target error) bool { return target == line.ErrHeld }
