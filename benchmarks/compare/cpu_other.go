//go:build !unix

package main

import "time"

// cpuTime is how long this process has used processors; -1 where that can't be told.
func cpuTime() time.Duration { return -1 }
