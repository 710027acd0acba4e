// Package demo shows what a lock and a fencing token are worth, with real processes on a real server: workers contend for one
// lock and append to two ledgers, one of which checks tokens, while they are paused and killed. An observer reads the
// ledgers and says what it sees.
package demo

import "time"

const (
	lockName = "demo/ledger"
	resource = "lock/" + lockName

	// Short, so that the demo is. The server's election timeout of 100 ms makes this margin enough.
	ttl    = 2 * time.Second
	margin = 300 * time.Millisecond
)
