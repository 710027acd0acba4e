package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
)

// A Workload is what the clients of a run do with one recipe, and how that is judged. Each has a file of its own, and is in workloads.
type Workload interface {
	// Work is what one goroutine of a client does until ctx ends. It records every call and gives back what it holds.
	Work(ctx context.Context, w *Worker)
	// Place tells which name a key of etcd's is a place of, so that faults can be aimed at who holds it: the oldest live key of those that
	// don't wait.
	Place(key string) (name string, ok bool)
	// Judge reads what happened.
	Judge(h *history.History) *check.Verdict
	// Tidy does what an operator may do, once all clients have ended, about what may be left. Root is the prefix of what may not be left then.
	Tidy(ctx context.Context, a *Admin) (root string, err error)
}

// Queued is a Workload whose holders have places of their own.
type Queued interface {
	// Waits tells whether the key is of somebody who waits, whatever its age.
	Waits(key string) bool
	// Handed tells whether the key is a place that may be handed over: then it is written again.
	Handed(key string) bool
}

var workloads = map[string]Workload{
	"lock":      locks{},
	"rwlock":    rwlocks{},
	"election":  elections{},
	"semaphore": semaphores{},
	"sets":      sets{},
	"session":   sessions{},
	"all":       recipes{},
	"etcd":      etcdMutex{},
}

// NewWorkload is the workload of that name.
func NewWorkload(name string) (Workload, error) {
	w, ok := workloads[name]
	if !ok {
		return nil, fmt.Errorf("no workload %q; there are %s", name, strings.Join(Workloads(), ", "))
	}
	return w, nil
}

// Workloads are the names of all.
func Workloads() []string {
	var names []string
	for name := range workloads {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
