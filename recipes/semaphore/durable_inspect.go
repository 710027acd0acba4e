package semaphore

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/semaphore/internal/durable"
)

// DurableState is a durable semaphore at one revision.
type DurableState struct {
	Name     string            `json:"name"`
	Revision int64             `json:"revision"` // of the last change; 0: no limit was ever set
	Limit    int               `json:"limit"`
	Groups   map[string]int    `json:"groups,omitempty"`   // by label: how many may have the same value of it
	Holders  []DurablePermit   `json:"holders,omitempty"`  // by slot
	Released []DurableReleased `json:"released,omitempty"` // those that ended lately, the last one last
}

// DurableReleased is a permit that has ended.
type DurableReleased struct {
	ID      string        `json:"id"`
	Token   fencing.Token `json:"token"`
	At      time.Time     `json:"at"` // by the wall clock of who ended it
	Removed bool          `json:"removed,omitempty"`
	Reason  string        `json:"reason,omitempty"` // why it was removed
}

// Inspect reads the limits, who holds, and who did lately, at one revision. While etcd is away it fails after 5 s, or when ctx ends, with an error that Is
// session.ErrUnavailable. Without a limit it is ErrNoLimit.
func (d *DurableSemaphore) Inspect(ctx context.Context) (DurableState, error) {
	const act = "inspect"
	if err := d.begin(ctx, act); err != nil {
		return DurableState{}, err
	}
	now, err := d.ask(ctx, act, durable.Look())
	if err != nil {
		return DurableState{}, err
	}
	return d.state(now), nil
}

// Watch yields the state as it is, and again whenever it has changed; what changes while the caller is busy comes as one. It goes on while etcd is
// away, and ends with an error: when ctx ends, or when etcd refuses. A semaphore without a limit is a state with revision 0.
func (d *DurableSemaphore) Watch(ctx context.Context) iter.Seq2[DurableState, error] {
	return func(yield func(DurableState, error) bool) {
		const act = "watch"
		if err := d.begin(ctx, act); err != nil {
			yield(DurableState{}, err)
			return
		}
		d.do.Watch(ctx, func(now *durable.Seen, err error) bool {
			if err != nil {
				return yield(DurableState{}, d.wrap(act, err))
			}
			return yield(d.state(now), nil)
		})
	}
}

func (d *DurableSemaphore) state(now *durable.Seen) DurableState {
	s := DurableState{Name: d.name, Revision: now.Rev}
	if now.Record == nil {
		return s
	}
	s.Limit, s.Groups = now.Record.Limit, maps.Clone(now.Record.Groups)
	for _, h := range now.Record.Holders {
		s.Holders = append(s.Holders, d.permitOf(h))
	}
	slices.SortFunc(s.Holders, func(a, b DurablePermit) int { return cmp.Compare(a.Slot, b.Slot) })
	for _, e := range now.Record.Released {
		s.Released = append(s.Released, DurableReleased(e))
	}
	return s
}
