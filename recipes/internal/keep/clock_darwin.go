package keep

import "golang.org/x/sys/unix"

// On Darwin this clock goes on while the system sleeps.
const bootClock = unix.CLOCK_MONOTONIC
