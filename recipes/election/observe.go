package election

import (
	"context"
	"iter"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
)

// A Change is how an election is after something has changed.
type Change struct {
	Leader *Incumbent `json:"leader"` // nil: nobody leads
	// Revision is one of etcd's at which it was so. Those of later changes are larger.
	Revision int64 `json:"revision"`
}

// Observe yields who leads: as it is, and again whenever the leader, its term or the value that it proclaims has changed, or there is none any more.
// What it yields is a part of what has been, in the same order, and nothing that never was: what changes while the caller is busy, or etcd cannot be
// reached, may be left out, but the last state is always told.
//
// It goes on through compactions, reconnects and restarts of etcd, and while etcd is away it waits for it: silence says nothing about the
// leader. It ends with an error: the reason for which ctx has ended, or what etcd refuses. It costs 1 watch and 1 read, and a read every
// 30 to 60 s.
func Observe(ctx context.Context, client *clientv3.Client, name string, opts ...ClientOption) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		var told *Change
		for part, err := range calls.ObservePart(ctx, client, kind, name, places, opts) {
			if err != nil {
				yield(Change{}, err)
				return
			}
			now := Change{Leader: state(part.Named(name)).Leader, Revision: part.Rev}
			if told != nil && same(told.Leader, now.Leader) {
				continue // something that stands beside the place
			}
			if told = &now; !yield(now, nil) {
				return
			}
		}
	}
}

func same(a, b *Incumbent) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Term == b.Term && a.ID == b.ID && a.Value == b.Value
}
