package fencingtest_test

import (
	"context"
	"testing"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/fencingtest"
)

// A resource in memory, guarded by fencing.Memory. What it forgets when the process ends is not tested: it has no Reopen.
func ExampleRun() {
	newGuard := func(testing.TB) fencingtest.Guard {
		var gate fencing.Memory
		var value string // under the gate's turn
		return fencingtest.Guard{
			Gate: &gate,
			Write: func(ctx context.Context, v string) error {
				return gate.Do(ctx, func() error { value = v; return nil })
			},
			Read: func(context.Context) (string, error) { return value, nil },
		}
	}
	// func TestGuard(t *testing.T) { fencingtest.Run(t, newGuard) }
	_ = testing.InternalTest{Name: "TestGuard", F: func(t *testing.T) {
		t.Helper()
		fencingtest.Run(t, newGuard)
	}}
	// Output:
}
