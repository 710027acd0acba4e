package semaphore

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/semaphore/internal/slots"
	"github.com/stile-dev/stile/recipes/session"
)

// A Holder is who holds permits, by one acquisition.
type Holder struct {
	ID     string            `json:"id"` // of this acquisition
	Host   string            `json:"host"`
	PID    int               `json:"pid"`
	Labels map[string]string `json:"labels,omitempty"`
	Slots  []int             `json:"slots"` // rising
	// Token is that of all its slots: they were granted at one revision.
	Token fencing.Token `json:"token"`
	// Joined is when it asked for the permits, by its own wall clock.
	Joined time.Time `json:"joined"`
	// Revoking is set while it was asked for the permits and still has them.
	Revoking *session.Revocation `json:"revoking,omitempty"`
}

// A Waiter is who waits for permits. It has no token yet.
type Waiter struct {
	ID     string            `json:"id"`
	Host   string            `json:"host"`
	PID    int               `json:"pid"`
	Labels map[string]string `json:"labels,omitempty"`
	N      int               `json:"n"` // how many it waits for
	Joined time.Time         `json:"joined"`
}

// NoLimit is the Limit of a State if none is set.
const NoLimit = -1

// State is a semaphore at one instant.
type State struct {
	Name    string       `json:"name"`
	Limit   int          `json:"limit"`            // NoLimit: none is set
	Spread  *SpreadLimit `json:"spread,omitempty"` // nil: the permits are not spread
	Holders []Holder     `json:"holders,omitempty"`
	Waiters []Waiter     `json:"waiters,omitempty"` // in order of arrival
	// Revoked are the last 16 orders of operators, the latest first.
	Revoked []session.Revocation `json:"revoked,omitempty"`
}

// Taken is how many permits are held: more than Limit for a while, after that was lowered.
func (s State) Taken() (n int) {
	for _, h := range s.Holders {
		n += len(h.Slots)
	}
	return n
}

// Inspect reads the limit, who holds and who waits, at one revision. While etcd is away it fails after 5 s, or when ctx ends, with an error that Is
// session.ErrUnavailable.
func Inspect(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) (State, error) {
	o, err := lookers(opts)
	if err != nil {
		return State{}, err
	}
	return calls.Inspect(ctx, client, kind, name, o, state)
}

// List reads the state of every semaphore that has a limit, is held or waited for, by name. It reads all their keys, in one answer.
func List(ctx context.Context, client *clientv3.Client, opts ...ClientOption) ([]State, error) {
	o, err := lookers(opts)
	if err != nil {
		return nil, err
	}
	return calls.List(ctx, client, kind, o, state)
}

// Watch yields the state of the semaphore: as it is, and again whenever it has changed. It is as lock.Watch is.
func Watch(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) iter.Seq2[State, error] {
	o, err := lookers(opts)
	if err != nil {
		return func(yield func(State, error) bool) { yield(State{}, err) }
	}
	return calls.Watch(ctx, client, kind, name, o, state)
}

func state(n line.Named) State {
	st := State{Name: n.Name, Limit: NoLimit, Revoked: n.Revoked}
	if rec, err := slots.Parse(n.Records[slots.LimitName]); err == nil {
		st.Limit, st.Spread = rec.Limit, rec.Spread
	}
	at := map[string]int{} // where in Holders an acquisition is
	for _, s := range n.Holders {
		i, ok := slots.Number(s.Want)
		if !ok {
			continue // the place in a group
		}
		if _, known := at[s.ID]; !known {
			at[s.ID] = len(st.Holders)
			st.Holders = append(st.Holders, Holder{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, Token: fencing.FromRevision(s.Rev), Joined: s.At, Revoking: s.Revoking})
		}
		h := &st.Holders[at[s.ID]]
		h.Slots = append(h.Slots, i)
		slices.Sort(h.Slots)
	}
	for _, s := range n.State {
		st.Waiters = append(st.Waiters, Waiter{ID: s.ID, Host: s.Host, PID: s.PID, Labels: s.Labels, N: wantedBy(s.Details), Joined: s.At})
	}
	return st
}

// wanted is how an entry says how many permits it waits for.
func wanted(n int) string { return strconv.Itoa(n) }

// wantedBy is what an entry says, 0 if it says nothing of the kind.
func wantedBy(d line.Details) int {
	n, err := strconv.Atoi(d.Want)
	if err != nil {
		return 0
	}
	return n
}
