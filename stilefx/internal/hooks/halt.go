// Package hooks is what stile's fx hooks have in common.
package hooks

import (
	"sync"

	"go.uber.org/fx"
)

// halting protects fx's Shutdowner, which keeps the exit code in a field.
var halting sync.Mutex

// Halt stops the application with exit code 1. It may be called from many goroutines.
func Halt(sd fx.Shutdowner) {
	halting.Lock()
	defer halting.Unlock()
	_ = sd.Shutdown(fx.ExitCode(1)) // fails only if the application has been told to stop already
}
