package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTicks is what Linux counts processor time in, for programs.
const clockTicks = 100 // a second

// busyTime is how long the processors of this machine have been busy, whatever with; -1 where that can't be told.
func busyTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return -1
	}
	line, _, _ := strings.Cut(string(b), "\n")
	// cpu user nice system idle iowait irq softirq steal guest guest_nice: a guest's time is in that of user
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return -1
	}
	ticks := 0
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return -1
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / clockTicks)
}
