// Package calls is what all recipes have in common: a call for a name on a session is checked, tried on one lease after the
// other, and gives a hold, or runs work under one.
package calls

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

// TryTimeout bounds what doesn't wait for others, while etcd is away.
const TryTimeout = 5 * time.Second

// Limit is the ctx of what doesn't wait for others.
func Limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, TryTimeout, retry.NoAnswer(TryTimeout))
}

// A Call is one call of a recipe for a name.
type Call struct {
	Keeper *keep.Keeper
	Name   string
	Prefix string // of the name's keys
	kind   string
	end    func()
}

// A Get is how a call gets its hold: by waiting for it, or not.
type Get func(ctx context.Context, c *Call) (*keep.Hold, error)

// Hand gets a hold and hands it out.
func Hand(ctx context.Context, s *session.Session, kind, name string, get Get) (*session.Hold, error) {
	c, err := begin(ctx, s, kind, name)
	if err != nil {
		return nil, err
	}
	defer c.end()
	h, err := get(ctx, c)
	if err != nil {
		return nil, err
	}
	return session.NewHold(h), nil
}

// Do gets a hold and runs work under it.
func Do(ctx context.Context, s *session.Session, kind, name string, work func(context.Context) error, get Get) error {
	if work == nil {
		return fmt.Errorf("%s %q: there is no work to do: it is nil", kind, name)
	}
	c, err := begin(ctx, s, kind, name)
	if err != nil {
		return err
	}
	defer c.end() // after the work, so that closing the session waits for it without a gap
	h, err := get(ctx, c)
	if err != nil {
		return err
	}
	return h.Do(ctx, work)
}

// HandAll gets one hold on all of names and hands it out. The call's name is the first of them.
func HandAll(ctx context.Context, s *session.Session, kind string, names []string, get Get) (*session.Hold, error) {
	if err := checkAll(names); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return Hand(ctx, s, kind, names[0], get)
}

func checkAll(names []string) error {
	switch {
	case len(names) == 0:
		return errors.New("there are no names")
	case len(names) > line.MostLines:
		return fmt.Errorf("%d names at once, the most is %d", len(names), line.MostLines)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := keys.CheckName(name); err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("%w: %q is there twice", keys.ErrName, name)
		}
		seen[name] = true
	}
	return nil
}

// begin refuses what can be refused without a request.
func begin(ctx context.Context, s *session.Session, kind, name string) (*Call, error) {
	k, err := session.Keeper(s)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", kind, name, err)
	}
	if err := keys.CheckName(name); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if ctx == nil {
		return nil, fmt.Errorf("%s %q: the context is nil", kind, name)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s %q: %w", kind, name, retry.Why(ctx))
	}
	end, err := k.Begin()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", kind, name, err)
	}
	return &Call{Keeper: k, Name: name, Prefix: keys.Prefix(k.Root(), kind, name), kind: kind, end: end}, nil
}

// What is the call's name in errors: `lock "a"`.
func (c *Call) What() string { return fmt.Sprintf("%s %q", c.kind, c.Name) }

// Resource is the name of what is held, for claims: "lock/a".
func (c *Call) Resource() string { return c.kind + "/" + c.Name }

// Of is the same call for another name: of several that are acquired at once.
func (c *Call) Of(name string) *Call {
	return &Call{Keeper: c.Keeper, Name: name, Prefix: keys.Prefix(c.Keeper.Root(), c.kind, name), kind: c.kind}
}

// All is the same call for each of names, none of which ctx may say is held already.
func (c *Call) All(ctx context.Context, names []string) ([]*Call, error) {
	all := make([]*Call, len(names))
	for i, name := range names {
		all[i] = c.Of(name)
		if c.Keeper.Holding(ctx, all[i].Prefix) {
			return nil, fmt.Errorf("%s: %w", all[i].What(), ErrWouldDeadlock)
		}
	}
	return all, nil
}

// Claims are those to what calls have got: keys, of each call one.
func Claims(calls []*Call, keys []keep.Key) []fencing.Claim {
	claims := make([]fencing.Claim, len(calls))
	for i, key := range keys {
		claims[i] = fencing.Claim{Resource: calls[i].Resource(), Token: fencing.FromRevision(key.Rev), Key: key.Name}
	}
	return claims
}

// ErrWouldDeadlock says that a context comes from a hold on what is to be acquired.
var ErrWouldDeadlock = errors.New("the context holds this already, waiting would be for oneself")

// Waiting gets by waiting, unless ctx says that it is held already.
func Waiting(take func(c *Call) Take) Get {
	return func(ctx context.Context, c *Call) (*keep.Hold, error) {
		if c.Keeper.Holding(ctx, c.Prefix) {
			return nil, fmt.Errorf("%s: %w", c.What(), ErrWouldDeadlock)
		}
		h, err := c.Attempt(ctx, take(c))
		if err != nil {
			return nil, fmt.Errorf("%s: acquire: %w", c.What(), err)
		}
		return h, nil
	}
}

// Trying gets what is free at once. If it isn't, held makes the error of what is known about who has it.
func Trying(take func(c *Call) Take, held func(n line.Named) error) Get {
	return func(ctx context.Context, c *Call) (*keep.Hold, error) {
		limited, cancel := Limit(ctx)
		defer cancel()
		h, err := c.Attempt(limited, take(c))
		switch {
		case err == nil:
			return h, nil
		case errors.Is(err, line.ErrHeld):
			return nil, held(c.look(limited, err))
		}
		return nil, fmt.Errorf("%s: %w", c.What(), err)
	}
}

// look reads who has it. If that can't be told it is whoever was the last in line, a moment ago.
func (c *Call) look(ctx context.Context, err error) line.Named {
	n := line.Named{Name: c.Name}
	if e, ok := errors.AsType[*line.HeldError](err); ok && e.Kept {
		n.Kept = line.State{{Details: e.Last}}
	} else if ok && e.Placed {
		n.Holders = line.State{{Details: e.Last}}
	} else if ok && !e.Last.At.IsZero() {
		n.State = line.State{{Details: e.Last}}
	}
	bound, cancel := c.Keeper.Bound(ctx, nil)
	defer cancel()
	if kv, err := c.Keeper.KV(); err == nil {
		if now, err := line.ReadNamed(bound, kv, c.Prefix, c.Name); err == nil && len(now.State)+len(now.Holders)+len(now.Records)+len(now.Kept) > 0 {
			n = now
		}
	}
	return n
}

// A Take takes what is wanted on one lease, and says what it has got. Who abandons that leaves nothing.
type Take func(ctx context.Context, lease *keep.Lease, d line.Details) (got interface{ Abandon() }, spec keep.Spec, err error)

// Attempt takes on one lease after the other, if they are lost meanwhile, and makes a hold of what was got.
func (c *Call) Attempt(ctx context.Context, take Take) (*keep.Hold, error) {
	return c.Keeper.Attempt(ctx, func(bound context.Context, lease *keep.Lease) (*keep.Hold, error) {
		e, spec, err := take(bound, lease, line.Self(c.Keeper.Labels()))
		if err != nil {
			return nil, err
		}
		h, err := lease.Hold(bound, ctx, spec)
		if err != nil {
			e.Abandon()
			return nil, err
		}
		return h, nil
	})
}
