package session

import (
	"log/slog"
	"maps"
	"time"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// An Option sets something about a session. Bad values are refused by New and Open, all at once.
type Option func(*keep.Config)

// TTL is how long etcd keeps what this session holds after it has last heard of it: how long others wait when this process
// dies. Whole seconds, at least three margins, at most 300 s; 15 s by default. Etcd grants more if its election timeout
// demands it (by default at least 2 s); see [Session.Granted].
func TTL(d time.Duration) Option {
	return func(c *keep.Config) { c.TTL = d }
}

// Margin is how long before etcd may end a lease the session stops trusting it. By default 1 % of the TTL and 1.1 s: clocks
// that differ in rate, and time for a busy machine to notice. It need not cover an election: a renewal by a leader that had been
// replaced doesn't count.
func Margin(d time.Duration) Option {
	return func(c *keep.Config) {
		if d == 0 {
			d = -1 // 0 stands for the default; whoever asks for it is refused
		}
		c.Margin = d
	}
}

// CleanupTimeout is how long Release and Close go on when their ctx has ended: 5 s by default.
func CleanupTimeout(d time.Duration) Option {
	return func(c *keep.Config) { c.Cleanup = d }
}

// Root is the prefix of all keys, "/stile/v1" by default. It starts with '/' and does not end with one. Sessions with
// different roots never meet, unless one root lies below the other.
func Root(prefix string) Option {
	return func(c *keep.Config) { c.Root = prefix }
}

// Labels are stored with whatever this session holds or waits for, for people to read: at most 16 KiB of UTF-8, and no secrets. Everyone who can read
// the keys sees them, with the host's name and the process's id.
func Labels(labels map[string]string) Option {
	labels = maps.Clone(labels)
	return func(c *keep.Config) { c.Labels = labels }
}

// NoRejoin has an acquisition that waits fail with ErrLost when its lease is lost, rather than stand in line again.
func NoRejoin() Option {
	return func(c *keep.Config) { c.NoRejoin = true }
}

// Logger hears of what has no caller: clean-up in the background that failed. By default nothing is logged.
func Logger(l *slog.Logger) Option {
	return func(c *keep.Config) { c.Logger = l }
}
