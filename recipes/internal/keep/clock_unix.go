//go:build linux || darwin

package keep

import (
	"time"

	"golang.org/x/sys/unix"
)

func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(bootClock, &ts); err != nil {
		return sinceStart() // no kernel that Go runs on gets here; a clock without suspended time beats none
	}
	return time.Duration(ts.Nano())
}
