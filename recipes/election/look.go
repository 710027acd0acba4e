package election

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
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
}

// State is an election at one instant.
type State struct {
	Name       string      `json:"name"`
	Leader     *Incumbent  `json:"leader"` // nil: nobody leads
	Candidates []Candidate `json:"candidates,omitempty"`
}

// Leader reads who leads, in 1 read. ErrNoLeader says that nobody does. It tells what etcd has: a leader that has just crashed is the leader until
// its lease has ended. While etcd is away it fails after 5 s, or when ctx ends, with an error that Is session.ErrUnavailable.
func Leader(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) (Incumbent, error) {
	part, err := calls.ReadPart(ctx, client, kind, name, "leader", places, opts)
	if err != nil {
		return Incumbent{}, err
	}
	in := incumbent(part)
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
	return candidates(part), nil
}

// Inspect reads who leads and who waits, at one revision, in 1 read. A tail that a crash left behind is swept in passing, if the client may write.
func Inspect(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) (State, error) {
	part, err := calls.ReadPart(ctx, client, kind, name, "inspect", "", opts)
	if err != nil {
		return State{}, err
	}
	if waiting, tail := line.Parse(part.Prefix, part.All); len(waiting) == 0 && tail != nil {
		limited, cancel := calls.Limit(ctx)
		defer cancel()
		_ = line.Sweep(limited, client.KV, line.DeadTail{Prefix: part.Prefix, Rev: tail.ModRevision}) // whoever may only read leaves it to others
	}
	return State{Name: name, Leader: incumbent(part), Candidates: candidates(part)}, nil
}

// places is where the place stands, and what is beside it.
const places = "p/"

// incumbent is who leads, nil if nobody does.
func incumbent(part calls.Part) *Incumbent {
	place := line.PlaceKey(part.Prefix, leader)
	var in *Incumbent
	for _, s := range line.Holders(part.Prefix, part.All) {
		if s.Want == leader {
			in = &Incumbent{candidate(s), fencing.FromRevision(s.Rev)}
		}
	}
	for _, kv := range part.All {
		if in != nil && string(kv.Key) == keep.Beside(place, value) {
			in.Value = string(kv.Value)
		}
	}
	return in
}

func candidates(part calls.Part) (all []Candidate) {
	waiting, _ := line.Parse(part.Prefix, part.All)
	slices.SortStableFunc(waiting, func(a, b line.Standing) int { return cmp.Compare(b.Priority, a.Priority) })
	for _, s := range waiting {
		all = append(all, candidate(s))
	}
	return all
}

func candidate(s line.Standing) Candidate {
	return Candidate{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, Value: s.Value, Priority: s.Priority, Joined: s.At}
}
