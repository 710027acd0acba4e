package election

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Preempt has a candidate that waits ask every leader of a lower priority to go: it puts the same order beside the leader's place as Evict does, without
// a grace, by "candidate <id>". So the leader's context ends with a *session.RevokedError, and leadership goes to the candidate with the
// highest priority (of work in Run: when that has returned). Without Priority it does nothing.
//
// If etcd refuses (a missing permission, no space) it asks again, after 2 s at most. Who preempts undoes an Evict: an evicted leader in Run
// that has this option, and a higher priority than its successor, stands again and asks that one to go.
//
// A candidate that preempts watches the leader, wherever in line it stands: 1 watch and 1 read more, and 1 transaction for each leader that it asks.
func Preempt() Option {
	return func(c *config) { c.preempt = true }
}

// preempting is what one wants who preempts leaders of a lower priority.
type preempting struct {
	wants
	priority int
}

// Stands asks leaders to go until it is stopped.
func (p preempting) Stands(ctx context.Context, e *line.Entry) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		pauses := retry.Pauses(ctx)
		for ctx.Err() == nil {
			p.watch(ctx, e, pauses.Reset)
			_ = retry.Sleep(ctx, pauses.NextBackOff()) // etcd refuses, which may end
		}
	})
	return func() { cancel(); asking.Wait() }
}

// watch asks leaders to go until something fails. It calls fine whenever nothing does.
func (p preempting) watch(ctx context.Context, e *line.Entry, fine func()) {
	for n, err := range e.Occupied(ctx) {
		if err != nil || p.ask(ctx, e, n.Holders) != nil {
			return
		}
		fine()
	}
}

func (p preempting) ask(ctx context.Context, e *line.Entry, holders line.State) error {
	for _, s := range holders {
		if s.Want != leader || s.Priority >= p.priority || s.Revoking != nil {
			continue
		}
		err := e.Ask(ctx, s, keep.Revocation{
			Act: keep.ActRevoke, By: "candidate " + e.ID(), Reason: fmt.Sprintf("its priority is %d, the leader's %d", p.priority, s.Priority),
			At: time.Now().UTC(), ID: s.ID, Host: s.Host, PID: s.PID,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
