//go:build !linux && !darwin && !windows

package keep

import "time"

// Elsewhere there is Go's monotonic clock, which may stop while the machine is suspended.
func sinceBoot() time.Duration { return sinceStart() }
