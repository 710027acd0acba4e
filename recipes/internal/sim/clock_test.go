package sim

import (
	"sync"
	"time"
)

// clock is that of one machine. It has a rate of its own, stands still while the machine is suspended or paused, and jumps afterwards.
type clock struct {
	start time.Time
	rate  float64
	// forgets is a broken machine: time in which it was suspended is not counted, by no clock of its.
	forgets bool

	mu     sync.Mutex
	still  bool
	since  time.Duration // when it came to stand still
	boot   time.Duration // pauses that the boot clock does not count
	pauses time.Duration // that no clock counts
}

func (c *clock) elapsed() time.Duration {
	if c.still {
		return c.since
	}
	return time.Since(c.start)
}

// Boot is the time that leases are trusted by.
func (c *clock) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.rate * float64(c.elapsed()-c.boot-c.pauses))
}

// Wall is the time of day.
func (c *clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.Add(time.Duration(c.rate * float64(c.elapsed()-c.pauses)))
}

func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.still, c.since = true, time.Since(c.start)
}

// resume lets it run again. After the suspension of a machine all clocks have gone on; after the pause of a virtual one only the time of day
// is put right.
func (c *clock) resume(virtual bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stood := time.Since(c.start) - c.since
	c.still = false
	switch {
	case c.forgets:
		c.pauses += stood
	case virtual:
		c.boot += stood
	}
}
