package fencing_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/fencingtest"
)

// TestMemoryIsAGuard: all but surviving the process, which it doesn't.
func TestMemoryIsAGuard(t *testing.T) {
	fencingtest.Run(t, func(testing.TB) fencingtest.Guard {
		var gate fencing.Memory
		var mu sync.Mutex // Read does not go through the gate
		var value string
		return fencingtest.Guard{
			Gate: &gate,
			Write: func(ctx context.Context, v string) error {
				return gate.Do(ctx, func() error {
					for range 10 {
						runtime.Gosched() // a write takes time
					}
					mu.Lock()
					defer mu.Unlock()
					value = v
					return nil
				})
			},
			Read: func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				return value, nil
			},
		}
	})
}
