package calls

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Limits of what an operator writes: it is kept beside the name.
const (
	mostReason = 1 << 10
	mostBy     = 256
)

var (
	// ErrNotHeld says that there is nobody to take anything from.
	ErrNotHeld = errors.New("not held")
	// ErrNotWaiting says that nobody with that id waits.
	ErrNotWaiting = errors.New("does not wait")
)

// An order is one to those who hold a name, or wait for it.
type order struct {
	kind, name string
	kv         clientv3.KV
	prefix     string
	id         string // of whom it is for; "": all who hold it
	wish       keep.Revocation
	told       map[string]bool
	all        map[string]bool // who had it at first: the order is not for those who came later
}

// Revoke asks those who hold a name to give it back within grace.
func Revoke[O Option](ctx context.Context, client *clientv3.Client, kind, name, reason string, grace time.Duration, opts []O, holders func(line.Named) line.State) error {
	o, err := newOrder(ctx, client, kind, name, reason, opts)
	if err != nil {
		return err
	}
	return o.revoke(ctx, grace, holders)
}

// Force takes a name from those who hold it.
func Force[O Option](ctx context.Context, client *clientv3.Client, kind, name, reason string, opts []O, holders func(line.Named) line.State) error {
	o, err := newOrder(ctx, client, kind, name, reason, opts)
	if err != nil {
		return err
	}
	return o.force(ctx, holders)
}

// Remove takes one who waits for a name out of the line.
func Remove[O Option](ctx context.Context, client *clientv3.Client, kind, name, id, reason string, opts []O, waiters func(line.Named) line.State) error {
	o, err := newOrder(ctx, client, kind, name, reason, opts)
	if err != nil {
		return err
	}
	return o.remove(ctx, id, waiters)
}

// newOrder checks an order of an operator's.
func newOrder[O Option](ctx context.Context, client *clientv3.Client, kind, name, reason string, opts []O) (*order, error) {
	p, err := Prefix(ctx, client, kind, name, opts)
	if err != nil {
		return nil, err
	}
	r := Reading{By: operator()}
	for _, opt := range opts {
		if opt != nil {
			opt(&r)
		}
	}
	switch {
	case reason == "" || len(reason) > mostReason:
		err = fmt.Errorf("a reason of %d bytes: say why, in %d at most", len(reason), mostReason)
	case r.By == "" || len(r.By) > mostBy:
		err = fmt.Errorf("by somebody of %d bytes: say who, in %d at most", len(r.By), mostBy)
	case keys.CheckText(reason) != nil || keys.CheckText(r.By) != nil:
		err = errors.New("the reason, or who asks, is not UTF-8, or has control characters")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", kind, name, err)
	}
	return &order{kind, name, client.KV, p, r.ID, keep.Revocation{Reason: reason, By: r.By}, map[string]bool{}, nil}, nil
}

// operator is who runs this process, as far as that can be told.
func operator() string {
	host, _ := os.Hostname()
	if u, err := user.Current(); err == nil {
		return u.Username + "@" + host
	}
	return "process " + fmt.Sprint(os.Getpid()) + " on " + host
}

// revoke asks those who hold it to end within grace.
func (o *order) revoke(ctx context.Context, grace time.Duration, holders func(line.Named) line.State) error {
	if grace < 0 {
		return fmt.Errorf("%s %q: revoke: a grace of %v: it can't be negative", o.kind, o.name, grace)
	}
	o.wish.Act, o.wish.Grace = keep.ActRevoke, keep.Seconds(grace)
	return o.do(ctx, "revoke", func(ctx context.Context, n *line.Named) error {
		return o.each(holders(*n), func(s line.Standing) error { return n.Ask(ctx, o.kv, s, o.about(s)) })
	})
}

// force asks those who hold it to end at once, and takes it from them.
func (o *order) force(ctx context.Context, holders func(line.Named) line.State) error {
	o.wish.Act = keep.ActForce
	return o.do(ctx, "force", func(ctx context.Context, n *line.Named) error {
		return o.each(holders(*n), func(s line.Standing) error {
			if err := n.Ask(ctx, o.kv, s, o.about(s)); err != nil {
				return err
			}
			return n.Take(ctx, o.kv, s)
		})
	})
}

// remove takes whoever waits with that id out of the line.
func (o *order) remove(ctx context.Context, id string, waiters func(line.Named) line.State) error {
	o.wish.Act = keep.ActRemove
	return o.do(ctx, "remove", func(ctx context.Context, n *line.Named) error {
		for _, w := range waiters(*n) {
			if w.ID == id {
				return n.Remove(ctx, o.kv, w, o.about(w))
			}
		}
		return fmt.Errorf("%q: %w", id, ErrNotWaiting)
	})
}

func (o *order) about(s line.Standing) keep.Revocation {
	r := o.wish
	r.At, r.ID, r.Host, r.PID = time.Now().UTC(), s.ID, s.Host, s.PID
	return r
}

// each gives the order to those that it is for, once to each.
func (o *order) each(holders line.State, give func(s line.Standing) error) error {
	if o.all == nil {
		o.all = map[string]bool{}
		for _, s := range holders {
			o.all[s.ID] = true
		}
	}
	for _, s := range holders {
		if o.told[s.ID] || o.id != "" && o.id != s.ID || !o.all[s.ID] {
			continue
		}
		if err := give(s); err != nil {
			return err
		}
		o.told[s.ID] = true
	}
	if len(o.told) == 0 {
		return ErrNotHeld
	}
	return nil
}

// do reads who is there, and gives the order; again if that has changed meanwhile.
func (o *order) do(ctx context.Context, what string, give func(ctx context.Context, n *line.Named) error) error {
	ctx, cancel := Limit(ctx)
	defer cancel()
	for {
		n, err := line.ReadNamed(ctx, o.kv, o.prefix, o.name)
		if err != nil {
			return fmt.Errorf("%s %q: %s: %w", o.kind, o.name, what, retry.Answer(ctx, err))
		}
		err = give(ctx, &n)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, line.ErrMoved) && ctx.Err() == nil:
			continue
		case errors.Is(err, ErrNotHeld), errors.Is(err, ErrNotWaiting), retry.Refused(err):
			return fmt.Errorf("%s %q: %s: %w", o.kind, o.name, what, err)
		}
		return fmt.Errorf("%s %q: %s: %w: %w", o.kind, o.name, what, keep.ErrUnknownOutcome, retry.Answer(ctx, err))
	}
}
