package calls

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
)

// longestKept is the most that Delay and MinHold take: etcd keeps a lease for that long and nobody can tell for how long it still does.
const longestKept = 24 * time.Hour

// Terms are what the options of an acquisition set.
type Terms struct {
	line.Terms
	Max time.Duration // keep.Spec.Max
	bad []error
}

// A Term is an option of a recipe's acquisitions.
type Term interface{ ~func(*Terms) }

// MaxHold has the hold end by itself.
func (t *Terms) MaxHold(d time.Duration) { t.set(&t.Max, d, "MaxHold", 0) }

// Delaying keeps the lock for d after a holder that did not release it.
func (t *Terms) Delaying(d time.Duration) { t.set(&t.Delay, d, "Delay", longestKept) }

// Keeping keeps the lock for d in any case.
func (t *Terms) Keeping(d time.Duration) { t.set(&t.MinHold, d, "MinHold", longestKept) }

// Telling has whoever waits told how many are in front.
func (t *Terms) Telling(tell func(ahead int)) {
	if t.Tell = tell; tell == nil {
		t.bad = append(t.bad, fmt.Errorf("%s: the function is nil", "Position"))
	}
}

func (t *Terms) set(to *time.Duration, d time.Duration, name string, most time.Duration) {
	switch *to = d; {
	case d <= 0:
		t.bad = append(t.bad, fmt.Errorf("%s(%v): it must be positive", name, d))
	case most > 0 && d > most:
		t.bad = append(t.bad, fmt.Errorf("%s(%v): the most is %v", name, d, most))
	}
}

// A TakeOn takes on terms.
type TakeOn func(c *Call, t Terms) Take

// WaitingOn is Waiting, on the terms that opts set. What makes no sense is refused before anything is sent.
func WaitingOn[T Term](opts []T, take TakeOn) Get {
	return on(opts, take, Waiting)
}

// TryingOn is Trying, on the terms that opts set.
func TryingOn[T Term](opts []T, take TakeOn, held func(n line.Named) error) Get {
	return on(opts, take, func(take func(c *Call) Take) Get { return Trying(take, held) })
}

func on[T Term](opts []T, take TakeOn, get func(take func(c *Call) Take) Get) Get {
	var t Terms
	for _, opt := range opts {
		if opt != nil {
			opt(&t)
		}
	}
	if err := errors.Join(t.bad...); err != nil {
		return func(_ context.Context, c *Call) (*keep.Hold, error) { return nil, fmt.Errorf("%s: %w", c.What(), err) }
	}
	return get(func(c *Call) Take { return take(c, t) })
}
