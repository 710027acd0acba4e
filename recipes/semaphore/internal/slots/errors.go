package slots

import (
	"errors"
	"fmt"
)

// What package semaphore exports, and documents.
var (
	ErrNoLimit       = errors.New("no limit is set: call SetLimit, once and for all who use it")
	ErrLimitMismatch = errors.New("the limit is another one")
	ErrNoLabel       = errors.New("the session does not have the label by which the permits are spread")
	ErrDurable       = errors.New("this is a durable semaphore: it can't be a leased one as well")
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
