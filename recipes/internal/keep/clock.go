package keep

import "time"

// Clock is where the time comes from. Tests have one of their own, to suspend machines and pause virtual ones.
type Clock interface {
	// Boot is the time since some fixed instant, suspended time included.
	Boot() time.Duration
	// Wall is the time of day.
	Wall() time.Time
}

// stamp is an instant on both clocks.
type stamp struct {
	boot time.Duration
	wall time.Time
}

func now(c Clock) stamp {
	return stamp{boot: c.Boot(), wall: c.Wall()}
}

// jumped is how much further the wall clock has moved since then than the clock that trust is counted on.
func (then stamp) jumped(to stamp) time.Duration {
	return to.wall.Sub(then.wall) - (to.boot - then.boot)
}

// machine is the clock of this machine.
type machine struct{}

func (machine) Boot() time.Duration { return sinceBoot() }

// Wall has no monotonic reading, so that differences are those of the time of day.
func (machine) Wall() time.Time { return time.Now().Round(0) }
