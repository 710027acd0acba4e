package keep

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"
	"unicode/utf8"

	"github.com/stile-dev/stile/recipes/internal/keys"
)

// Limits and defaults; package session documents them.
const (
	DefaultTTL     = 15 * time.Second
	MaxTTL         = 300 * time.Second // beyond it a new leader may know less of a lease than its client
	DefaultCleanup = 5 * time.Second
	MaxLabels      = 16 << 10 // bytes, of all names and values: they are stored with each entry

	driftShare = 100 // 1 % of the TTL, for clocks of different rate
	leaderGap  = 1100 * time.Millisecond
)

// Config is what package session's options set. Negative durations stand for bad values, zero ones for defaults.
type Config struct {
	TTL      time.Duration
	Margin   time.Duration
	Cleanup  time.Duration
	Root     string
	Labels   map[string]string
	NoRejoin bool // a waiting acquisition fails with its lease
	Logger   *slog.Logger

	// For simulations, which no option sets: nil stands for the machine's clock, and for math/rand/v2.
	Clock Clock
	Rand  func() float64 // in [0, 1)
}

// Defaults is the configuration of a session without options.
func Defaults() Config {
	return Config{TTL: DefaultTTL, Cleanup: DefaultCleanup, Root: keys.DefaultRoot, Logger: slog.New(slog.DiscardHandler)}
}

// check refuses what cannot work, all of it at once.
func (c *Config) check() error {
	var errs []error
	if c.Margin == 0 {
		c.Margin = c.TTL/driftShare + leaderGap
	}
	switch {
	case c.TTL <= 0:
		errs = append(errs, fmt.Errorf("TTL %v: it must be positive", c.TTL))
	case c.TTL%time.Second != 0:
		errs = append(errs, fmt.Errorf("TTL %v: etcd counts whole seconds", c.TTL))
	case c.TTL > MaxTTL:
		errs = append(errs, fmt.Errorf("TTL %v: the most is %v", c.TTL, MaxTTL))
	case c.Margin > 0 && c.TTL < 3*c.Margin:
		errs = append(errs, fmt.Errorf("TTL %v: less than three margins of %v; the least is %v", c.TTL, c.Margin, leastTTL(c.Margin)))
	}
	if c.Margin < 0 {
		errs = append(errs, errors.New("margin: it must be positive"))
	}
	if c.Cleanup <= 0 {
		errs = append(errs, fmt.Errorf("cleanup timeout %v: it must be positive", c.Cleanup))
	}
	if n := size(c.Labels); n > MaxLabels {
		errs = append(errs, fmt.Errorf("labels of %d bytes: the most is %d", n, MaxLabels))
	}
	for name, value := range c.Labels {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			errs = append(errs, fmt.Errorf("label %q, %q: it must be UTF-8", name, value)) // JSON would make something else of it
		}
	}
	if err := keys.CheckRoot(c.Root); err != nil {
		errs = append(errs, err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = machine{}
	}
	return errors.Join(errs...)
}

func size(labels map[string]string) (n int) {
	for name, value := range labels {
		n += len(name) + len(value)
	}
	return n
}

func leastTTL(margin time.Duration) time.Duration {
	return time.Duration(math.Ceil((3 * margin).Seconds())) * time.Second
}
