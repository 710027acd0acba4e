//go:build unix

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is how long this process has used processors; -1 where that can't be told.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return -1
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
