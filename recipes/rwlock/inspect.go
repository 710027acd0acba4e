package rwlock

import (
	"context"
	"iter"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/session"
)

// A Holder is who holds a read-write lock.
type Holder struct {
	ID     string            `json:"id"` // of this acquisition
	Host   string            `json:"host"`
	PID    int               `json:"pid"`
	Labels map[string]string `json:"labels,omitempty"`
	Token  fencing.Token     `json:"token"`
	// Joined is when it asked for the lock, by its own wall clock.
	Joined time.Time `json:"joined"`
	// Revoking is set while it was asked for the lock and still has it.
	Revoking *session.Revocation `json:"revoking,omitempty"`
}

// A Waiter is who waits for a read-write lock. It has no token yet.
type Waiter struct {
	ID     string            `json:"id"`
	Host   string            `json:"host"`
	PID    int               `json:"pid"`
	Labels map[string]string `json:"labels,omitempty"`
	Mode   fencing.Mode      `json:"mode"` // in which it wants the lock
	Joined time.Time         `json:"joined"`
}

// State is a read-write lock at one instant.
type State struct {
	Name    string   `json:"name"`
	Writer  *Holder  `json:"writer"`            // nil: nobody writes
	Readers []Holder `json:"readers,omitempty"` // in the order in which they were let in
	Waiters []Waiter `json:"waiters,omitempty"` // in order of arrival
	// Revoked are the last 16 orders of operators, the latest first.
	Revoked []session.Revocation `json:"revoked,omitempty"`
}

// A ClientOption sets something about the calls that take a client.
type ClientOption func(*calls.Reading)

// Root is the prefix of all keys, where the sessions have one of their own (session.Root).
func Root(prefix string) ClientOption {
	return func(r *calls.Reading) { r.Root = prefix }
}

// Inspect reads who holds the lock and who waits, at one revision. While etcd is away it fails after 5 s, or when ctx ends, with an error that Is
// session.ErrUnavailable.
func Inspect(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) (State, error) {
	return calls.Inspect(ctx, client, kind, name, opts, state)
}

// List reads the state of every read-write lock that is held or waited for, by name. It reads all their keys, in one answer.
func List(ctx context.Context, client *clientv3.Client, opts ...ClientOption) ([]State, error) {
	return calls.List(ctx, client, kind, opts, state)
}

// Watch yields the state of the lock: as it is, and again whenever it has changed. It is as lock.Watch is.
func Watch(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) iter.Seq2[State, error] {
	return calls.Watch(ctx, client, kind, name, opts, state)
}

func state(n line.Named) State {
	st := State{Name: n.Name, Revoked: n.Revoked}
	for _, s := range n.Holders {
		h := Holder{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, Token: fencing.FromRevision(s.Rev), Joined: s.At, Revoking: s.Revoking}
		if s.Want == writerPlace {
			st.Writer = &h
		} else {
			st.Readers = append(st.Readers, h)
		}
	}
	for _, s := range n.State {
		w := Waiter{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, Mode: writing, Joined: s.At}
		if _, ok := reads(s.Details); ok {
			w.Mode = reading
		}
		st.Waiters = append(st.Waiters, w)
	}
	return st
}
