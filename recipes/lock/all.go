package lock

import (
	"context"
	"fmt"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/session"
)

// AcquireAll waits for several locks, and returns them as one hold: all or none, in whatever order they are named, and without a deadlock
// with others who want some of the same. ctx bounds the waiting for all of them together; what is said of Acquire holds for the whole.
//
// One transaction stands in all lines, and one releases all locks. At most 64 names, each once. The hold's context carries a claim for each, so a
// guard needs to be told which is meant: fencing.For(ctx, "lock/"+name).
//
// Whoever waits for one of the locks keeps its place in front of others in the lines of the rest, and may hold those meanwhile: a lock that
// everybody wants together with some other makes a convoy of all that want either. Prefer few names, and short holds.
func AcquireAll(ctx context.Context, s *session.Session, names ...string) (*Held, error) {
	h, err := calls.HandAll(ctx, s, kind, names, func(ctx context.Context, c *calls.Call) (*keep.Hold, error) {
		return acquireAll(ctx, c, names)
	})
	if err != nil {
		return nil, err
	}
	return &Held{h}, nil
}

func acquireAll(ctx context.Context, c *calls.Call, names []string) (*keep.Hold, error) {
	parts, err := c.All(ctx, names)
	if err != nil {
		return nil, err
	}
	lines := make([]*line.Line, len(names))
	for i, part := range parts {
		lines[i] = line.New(c.Keeper, part.Prefix)
	}
	h, err := c.Attempt(ctx, func(ctx context.Context, lease *keep.Lease, d line.Details) (interface{ Abandon() }, keep.Spec, error) {
		set, err := line.JoinAll(ctx, lease, d, lines)
		if err != nil {
			return nil, keep.Spec{}, err
		}
		if err := set.Wait(ctx); err != nil {
			set.Abandon()
			return nil, keep.Spec{}, err
		}
		return set, keep.Spec{What: fmt.Sprintf("locks %q", names), Keys: set.Keys(), Claims: calls.Claims(parts, set.Keys()), Give: set.Pass}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("locks %q: acquire: %w", names, err)
	}
	return h, nil
}
