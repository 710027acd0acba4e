package semaphore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/semaphore/internal/slots"
	"github.com/stile-dev/stile/recipes/session"
)

const kind = "semaphore"

// A Permit is one or several permits that are held together. Each is a numbered slot, and a fencing resource of its own: semaphore/uploads#3.
type Permit struct {
	*session.Hold
	slots []int
}

// Slots are the numbers of its slots, rising. They count from 0, and each is below the limit that was in force when it was granted. While it is held
// nobody else has a slot of these numbers: use them to share out what there are as many of as permits (ports, GPUs, shards). A guard of the share
// that belongs to slot i finds its claim in fencing.For(ctx, "semaphore/<name>#i").
func (p *Permit) Slots() []int { return slices.Clone(p.slots) }

// Acquire waits in line for n permits, from 1 to 60, and returns them: all at once, or none. Nobody overtakes, so that one who wants many is not
// kept waiting by those who want few. ctx bounds the waiting, not the holding. What lock.Acquire says of etcd's absence, and of what failure leaves behind,
// holds here too.
//
// More permits than the limit are refused at once, with a *LimitError; a semaphore without a limit with ErrNoLimit. While the limit is 0 all wait.
// If the limit sinks below n while this one waits, it is refused when its turn comes.
func Acquire(ctx context.Context, s *session.Session, name string, n int, opts ...Option) (*Permit, error) {
	return hand(ctx, s, name, n, opts, (*acquisition).acquire)
}

// TryAcquire returns n permits if they are free and nobody waits, and otherwise a *HeldError, which Is ErrHeld. It does not wait for permits, and for
// etcd 5 s at the most: then the error Is session.ErrUnavailable. It refuses what Acquire refuses.
func TryAcquire(ctx context.Context, s *session.Session, name string, n int, opts ...Option) (*Permit, error) {
	return hand(ctx, s, name, n, opts, (*acquisition).tryAcquire)
}

// Do runs work while holding n permits, as lock.Do does with a lock: work's context ends with them, and with ctx; they are given back when work has
// returned. If they were lost meanwhile the error Is session.ErrLost, even if work returned nil.
func Do(ctx context.Context, s *session.Session, name string, n int, work func(ctx context.Context) error, opts ...Option) error {
	a, err := begin(n, opts)
	if err != nil {
		return fmt.Errorf("semaphore %q: %w", name, err)
	}
	return calls.Do(ctx, s, kind, name, work, a.acquire)
}

func hand(ctx context.Context, s *session.Session, name string, n int, opts []Option, get func(*acquisition, context.Context, *calls.Call) (*keep.Hold, error)) (*Permit, error) {
	a, err := begin(n, opts)
	if err != nil {
		return nil, fmt.Errorf("semaphore %q: %w", name, err)
	}
	h, err := calls.Hand(ctx, s, kind, name, func(ctx context.Context, c *calls.Call) (*keep.Hold, error) { return get(a, ctx, c) })
	if err != nil {
		return nil, err
	}
	return &Permit{Hold: h, slots: a.slots}, nil
}

// acquisition is one call for permits, and the slots that it has got in the end.
type acquisition struct {
	request
	slots []int
}

func begin(n int, opts []Option) (*acquisition, error) {
	r, err := ask(n, opts)
	return &acquisition{request: r}, err
}

func (a *acquisition) acquire(ctx context.Context, c *calls.Call) (*keep.Hold, error) {
	h, err := calls.Waiting(func(c *calls.Call) calls.Take { return a.take(c, (*line.Line).Acquire) })(ctx, c)
	return h, a.refused(ctx, c, err)
}

func (a *acquisition) tryAcquire(ctx context.Context, c *calls.Call) (*keep.Hold, error) {
	held := func(n line.Named) error { return &HeldError{Name: n.Name, Asked: a.n, State: state(n)} }
	h, err := calls.Trying(func(c *calls.Call) calls.Take { return a.take(c, (*line.Line).TryAcquire) }, held)(ctx, c)
	return h, a.refused(ctx, c, err)
}

// refused is err as the caller is told.
func (a *acquisition) refused(ctx context.Context, c *calls.Call, err error) error {
	if limit, ok := errors.AsType[*LimitError](err); ok {
		return limit
	}
	if errors.Is(err, ErrNoLimit) && isDurable(ctx, c) {
		return fmt.Errorf("%s: acquire: %w", c.What(), ErrDurable)
	}
	return err
}

// isDurable reports whether the name is that of a durable semaphore, as far as etcd answers.
func isDurable(ctx context.Context, c *calls.Call) bool {
	limited, stop := calls.Limit(ctx)
	defer stop()
	bound, cancel := c.Keeper.Bound(limited, nil)
	defer cancel()
	kv, err := c.Keeper.GetOne(bound, c.Prefix+slots.DurableKey)
	return err == nil && kv != nil
}

// take takes the permits on one lease.
func (a *acquisition) take(c *calls.Call, get line.Get) calls.Take {
	ln := line.Placed(c.Keeper, c.Prefix)
	return func(ctx context.Context, lease *keep.Lease, d line.Details) (interface{ Abandon() }, keep.Spec, error) {
		d.Want = wanted(a.n)
		want := &slots.Want{N: a.n, Expect: a.expect, Notes: c.Keeper, Prefix: c.Prefix, Semaphore: c.Name, Labels: d.Labels}
		e, err := get(ln, ctx, lease, d, want)
		if err != nil {
			return nil, keep.Spec{}, err
		}
		if kv := e.Read(slots.LimitName); kv != nil {
			want.Heard(kv.Value)
		}
		return e, a.spec(c, e), nil
	}
}

// spec says what e has got: its slots, and what goes with them.
func (a *acquisition) spec(c *calls.Call, e *line.Entry) keep.Spec {
	spec := keep.Spec{What: c.What(), Keys: e.Granted(), Give: e.Release}
	a.slots = nil
	for _, key := range spec.Keys {
		i, ok := slots.Number(key.Name[len(line.PlaceKey(c.Prefix, "")):])
		if !ok {
			continue // the place in a group
		}
		a.slots = append(a.slots, i)
		spec.Claims = append(spec.Claims, fencing.Claim{Resource: resource(c.Name, i), Token: fencing.FromRevision(key.Rev), Key: key.Name})
	}
	slices.Sort(a.slots)
	slices.SortFunc(spec.Claims, func(a, b fencing.Claim) int { return cmp.Compare(a.Key, b.Key) })
	return spec
}

// resource is the name of a slot, for claims.
func resource(name string, i int) string { return fmt.Sprintf("%s/%s#%d", kind, name, i) }
