package election

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/session"
)

// A Candidate is who stands for an election.
type Candidate struct {
	ID       string            `json:"id"` // of this candidacy: what HandOver takes
	Host     string            `json:"host"`
	PID      int               `json:"pid"`
	Labels   map[string]string `json:"labels,omitempty"`
	Value    string            `json:"value,omitempty"` // by the option Value; a leader's is what it has proclaimed last
	Priority int               `json:"priority,omitempty"`
	// Joined is when it came, by its own wall clock.
	Joined time.Time `json:"joined"`
}

// An Incumbent is who leads.
type Incumbent struct {
	Candidate
	Term fencing.Token `json:"term"`
	// Revoking is set while it was asked to go and still leads.
	Revoking *session.Revocation `json:"revoking,omitempty"`
}

// State is an election at one instant.
type State struct {
	Name       string      `json:"name"`
	Leader     *Incumbent  `json:"leader"`               // nil: nobody leads
	Candidates []Candidate `json:"candidates,omitempty"` // in the order in which they will lead, if nobody comes or goes
	// Revoked are the last 16 orders of operators, the latest first.
	Revoked []session.Revocation `json:"revoked,omitempty"`
}

// Leader reads who leads, in 1 read. ErrNoLeader says that nobody does. It tells what etcd has: a leader that has just crashed is the leader until
// its lease has ended. While etcd is away it fails after 5 s, or when ctx ends, with an error that Is session.ErrUnavailable.
func Leader(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) (Incumbent, error) {
	part, err := calls.ReadPart(ctx, client, kind, name, "leader", places, opts)
	if err != nil {
		return Incumbent{}, err
	}
	in := state(part.Named(name)).Leader
	if in == nil {
		return Incumbent{}, fmt.Errorf("%s %q: %w", kind, name, ErrNoLeader)
	}
	return *in, nil
}

// Candidates reads who waits to lead, in 1 read, which grows with their number: in the order in which they will, if nobody comes or goes. The
// leader is not one of them.
func Candidates(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) ([]Candidate, error) {
	part, err := calls.ReadPart(ctx, client, kind, name, "candidates", "e/", opts)
	if err != nil {
		return nil, err
	}
	return state(part.Named(name)).Candidates, nil
}

// Inspect reads who leads and who waits, at one revision, in 1 read. A tail that a crash left behind is swept in passing, if the client may write.
func Inspect(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) (State, error) {
	return calls.Inspect(ctx, client, kind, name, opts, state)
}

// List reads the state of every election that somebody leads or waits to lead, by name. It reads all their keys, in one answer.
func List(ctx context.Context, client *clientv3.Client, opts ...ClientOption) ([]State, error) {
	return calls.List(ctx, client, kind, opts, state)
}

// Watch yields the state of the election, candidates and all: as it is, and again whenever it has changed. It is as lock.Watch is. To follow the
// leader alone, Observe costs less.
func Watch(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) iter.Seq2[State, error] {
	return calls.Watch(ctx, client, kind, name, opts, state)
}

// places is where the place stands, and what is beside it.
const places = "p/"

func state(n line.Named) State {
	st := State{Name: n.Name, Revoked: n.Revoked}
	for _, s := range n.Holders {
		if s.Want == leader {
			st.Leader = &Incumbent{candidate(s), fencing.FromRevision(s.Rev), s.Revoking}
		}
	}
	if v, ok := n.Beside[keep.Beside(leader, value)]; ok && st.Leader != nil {
		st.Leader.Value = v
	}
	slices.SortStableFunc(n.State, func(a, b line.Standing) int { return cmp.Compare(b.Priority, a.Priority) })
	for _, s := range n.State {
		st.Candidates = append(st.Candidates, candidate(s))
	}
	return st
}

func candidate(s line.Standing) Candidate {
	return Candidate{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, Value: s.Value, Priority: s.Priority, Joined: s.At}
}
