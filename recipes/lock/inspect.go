package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A Holder is who holds a lock or waits for it.
type Holder struct {
	ID     string            `json:"id"` // of this acquisition
	Host   string            `json:"host"`
	PID    int               `json:"pid"`
	Labels map[string]string `json:"labels,omitempty"`
	// Token is what its writes are checked by, once it holds the lock. It rises along the line.
	Token fencing.Token `json:"token"`
	// Joined is when it came into line, by its own wall clock.
	Joined time.Time `json:"joined"`
	// Since is when it got the lock, by the wall clock of whoever passed it on; if that one crashed, when it came into line.
	// Zero for those who wait.
	Since time.Time `json:"since,omitzero"`
}

// State is a lock at one instant.
type State struct {
	Name    string   `json:"name"`
	Holder  *Holder  `json:"holder"`            // nil: free
	Waiters []Holder `json:"waiters,omitempty"` // in order of arrival
}

// An Option sets something about Inspect and List.
type Option func(*options)

type options struct{ root string }

// Root is the prefix of all keys, where the sessions have one of their own (session.Root).
func Root(prefix string) Option {
	return func(o *options) { o.root = prefix }
}

// Inspect reads who holds the lock and who waits, at one revision. The cost grows with the number of waiters. A tail that a crash left
// behind is swept in passing, if the client may write. While etcd is away it fails after 5 s, or when ctx ends,
// with an error that Is session.ErrUnavailable.
func Inspect(ctx context.Context, client *clientv3.Client, name string, opts ...Option) (State, error) {
	if err := keys.CheckName(name); err != nil {
		return State{}, fmt.Errorf("lock: %w", err)
	}
	root, err := reader(ctx, client, opts)
	if err != nil {
		return State{}, fmt.Errorf("lock %q: %w", name, err)
	}
	ctx, cancel := calls.Limit(ctx)
	defer cancel()
	s, err := line.Read(ctx, client.KV, keys.Prefix(root, kind, name))
	if err != nil {
		return State{}, fmt.Errorf("lock %q: inspect: %w", name, retry.Answer(ctx, err))
	}
	return state(name, s), nil
}

// List reads the state of every lock that is held or waited for, by name. It reads all their keys, in one answer.
func List(ctx context.Context, client *clientv3.Client, opts ...Option) ([]State, error) {
	root, err := reader(ctx, client, opts)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	ctx, cancel := calls.Limit(ctx)
	defer cancel()
	lines, err := line.ReadAll(ctx, client.KV, root, kind)
	if err != nil {
		return nil, fmt.Errorf("lock: list: %w", retry.Answer(ctx, err))
	}
	states := make([]State, len(lines))
	for i, l := range lines {
		states[i] = state(l.Name, l.State)
	}
	return states, nil
}

func reader(ctx context.Context, client *clientv3.Client, opts []Option) (root string, err error) {
	if ctx == nil {
		return "", errors.New("the context is nil")
	}
	o := options{root: keys.DefaultRoot}
	for _, opt := range opts {
		opt(&o)
	}
	if client == nil || client.KV == nil {
		return "", errors.New("the etcd client is nil, or not connected to anything")
	}
	return o.root, keys.CheckRoot(o.root)
}

func state(name string, s line.State) State {
	st := State{Name: name}
	for i, standing := range s {
		h := holder(standing)
		if i == 0 {
			st.Holder = &h
		} else {
			st.Waiters = append(st.Waiters, h)
		}
	}
	return st
}

func holder(s line.Standing) Holder {
	return Holder{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, Token: fencing.FromRevision(s.Rev), Joined: s.At, Since: s.Since}
}
