package demo

import (
	"time"

	"github.com/stile-dev/stile/fencing"
)

// What the demo tells a worker, a line each on its standard input. When that ends the worker does, too.
const (
	tellWork    = "work"    // get in line for the lock
	tellWrite   = "write"   // look whether the lock is yours, say so, and wait for "go" before writing to both ledgers
	tellGo      = "go"      // write
	tellRelease = "release" // give the lock back
)

// What a worker reports, a JSON object a line on its standard output.
const (
	sayReady    = "ready"
	sayHolds    = "holds"
	sayChecked  = "checked" // it has looked: the lock is its own; the next thing that it does is to write
	sayWrote    = "wrote"
	sayReleased = "released"
	sayLost     = "lost"
)

// report is a worker's word on what it did. What it did to the ledgers the observer reads there.
type report struct {
	Event   string        `json:"event"`
	Token   fencing.Token `json:"token,omitzero"`
	Refused *refusal      `json:"refused,omitempty"` // by the fenced ledger
	Error   string        `json:"error,omitempty"`

	at time.Time // when it was read
}

// configEnv holds a workerConfig, as JSON.
const configEnv = "STILE_DEMO_WORKER"

// workerConfig is what a worker needs to know.
type workerConfig struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Gate     string `json:"gate"`
	Secret   string `json:"secret"` // that the gate asks for
	Plain    string `json:"plain"`
}
