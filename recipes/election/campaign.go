package election

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/session"
)

const kind = "election"

// leader is the one place.
const leader = "leader"

// Campaign stands for the election until it is won, and returns the term. ctx bounds the waiting, not the leading. What lock.Acquire says of
// etcd's absence, and of what failure leaves behind, holds here too; out of space etcd refuses it (rpctypes.ErrNoSpace), also when it has
// waited. The term lasts until Resign or HandOver, or until it is lost; it is the
// caller's to watch its Context. Run does that by itself.
func Campaign(ctx context.Context, s *session.Session, name string, opts ...Option) (*Term, error) {
	cfg, err := configure(opts)
	if err == nil && cfg.again != nil {
		err = errors.New("the option Again is for Run")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", kind, name, err)
	}
	t := &Term{}
	if _, err := calls.Hand(ctx, s, kind, name, t.win(cfg, nil)); err != nil {
		return nil, err
	}
	return t, nil
}

// win wins the term t. If it is run's, its work is joined.
func (t *Term) win(cfg *config, run *run) calls.Get {
	return func(ctx context.Context, c *calls.Call) (*keep.Hold, error) {
		if c.Keeper.Holding(ctx, c.Prefix) {
			return nil, fmt.Errorf("%s: %w", c.What(), ErrWouldDeadlock)
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stand, err := enter(c.Keeper, cancel)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.What(), err)
		}
		t.keeper, t.stand, t.run = c.Keeper, stand, run
		h, err := c.Attempt(ctx, t.take(c, cfg))
		if err != nil {
			stand.leave()
		} else {
			t.Hold = session.NewHold(h)
			if err = stand.lead(t); err == nil {
				return h, nil
			}
			_ = h.Release(ctx)
			t.leaves()
		}
		if errors.Is(err, ErrDrained) {
			err = ErrDrained // the caller's ctx has not ended
		}
		return nil, fmt.Errorf("%s: campaign: %w", c.What(), err)
	}
}

// take wins on one lease.
func (t *Term) take(c *calls.Call, cfg *config) calls.Take {
	ln := line.Placed(c.Keeper, c.Prefix)
	return func(ctx context.Context, lease *keep.Lease, d line.Details) (interface{ Abandon() }, keep.Spec, error) {
		d.Want, d.Value, d.Priority = leader, cfg.value, cfg.priority
		e, err := ln.Acquire(ctx, lease, d, cfg.want())
		if err != nil {
			return nil, keep.Spec{}, err
		}
		t.entry, t.lease = e, lease
		place := e.Granted()[0]
		t.proclaimed.key = keep.Beside(place.Name, value)
		return e, keep.Spec{
			What:   c.What(),
			Keys:   e.Granted(),
			Claims: []fencing.Claim{{Resource: c.Resource(), Token: fencing.FromRevision(place.Rev), Mode: fencing.Exclusive, Key: place.Name}},
			Give:   t.give,
		}, nil
	}
}

func (c *config) want() line.Want {
	if c.preempt {
		return preempting{priority: c.priority}
	}
	return wants{}
}

// wants wants to lead, or that whoever has the highest priority leads.
type wants struct{}

func (wants) Blind(g line.Grantee, otherwise clientv3.Op) clientv3.Op {
	return clientv3.OpTxn(vacant(g), []clientv3.Op{g.Put(leader)}, []clientv3.Op{otherwise})
}

func (wants) Plan(view *line.View, g line.Grantee) (line.Grant, bool, error) {
	return line.Grant{If: vacant(g), Then: []clientv3.Op{g.Put(leader)}, To: first, Place: leader}, view.Get(leader) == nil, nil
}

func vacant(g line.Grantee) []clientv3.Cmp {
	return []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(g.Key(leader)), "=", 0)}
}

// first is who is to lead next of those who wait: the one with the highest priority that came first. It is negative if nobody waits.
func first(waiting line.State) int {
	best := -1
	for i, w := range waiting {
		if best < 0 || w.Priority > waiting[best].Priority {
			best = i
		}
	}
	return best
}
