package lock

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
	// Revoking is set while it was asked for the lock and still has it.
	Revoking *session.Revocation `json:"revoking,omitempty"`
}

// State is a lock at one instant.
type State struct {
	Name    string   `json:"name"`
	Holder  *Holder  `json:"holder"`            // nil: free
	Waiters []Holder `json:"waiters,omitempty"` // in order of arrival
	// Kept is the former holder on behalf of whom nobody gets the lock for now (Delay, MinHold). Until when is etcd's to know.
	Kept *Holder `json:"kept,omitempty"`
	// Revoked are the last 16 orders of operators, the latest first.
	Revoked []session.Revocation `json:"revoked,omitempty"`
}

// A ClientOption sets something about the calls that take a client.
type ClientOption func(*calls.Reading)

// Root is the prefix of all keys, where the sessions have one of their own (session.Root).
func Root(prefix string) ClientOption {
	return func(r *calls.Reading) { r.Root = prefix }
}

// Inspect reads who holds the lock and who waits, at one revision. The cost grows with the number of waiters. A tail that a crash left
// behind is swept in passing, if the client may write. While etcd is away it fails after 5 s, or when ctx ends,
// with an error that Is session.ErrUnavailable.
func Inspect(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) (State, error) {
	return calls.Inspect(ctx, client, kind, name, opts, state)
}

// List reads the state of every lock that is held, waited for or kept, by name. It reads all their keys, in one answer.
func List(ctx context.Context, client *clientv3.Client, opts ...ClientOption) ([]State, error) {
	return calls.List(ctx, client, kind, opts, state)
}

// Watch yields the state of the lock: as it is, and again whenever it has changed. What changes while the caller is busy comes as one change.
// It goes on through compactions, reconnects and restarts of etcd, and while etcd is away it waits for it. It ends with an error: the reason for
// which ctx has ended, or what etcd refuses.
func Watch(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) iter.Seq2[State, error] {
	return calls.Watch(ctx, client, kind, name, opts, state)
}

func state(n line.Named) State {
	st := State{Name: n.Name, Holder: first(n.Head()), Kept: first(n.Kept), Revoked: n.Revoked}
	for _, s := range n.Behind() {
		st.Waiters = append(st.Waiters, holder(s))
	}
	return st
}

func first(s line.State) *Holder {
	if len(s) == 0 {
		return nil
	}
	h := holder(s[0])
	return &h
}

func holder(s line.Standing) Holder {
	return Holder{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, Token: fencing.FromRevision(s.Rev), Joined: s.At, Since: s.Since, Revoking: s.Revoking}
}
