package election

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

// By says who gives an order; by default it is the user of this process, at this host.
func By(who string) ClientOption {
	return func(r *calls.Reading) { r.By = who }
}

// ID has an order be for one term alone (Incumbent.ID): whoever leads since is left in peace, and the error Is ErrNotHeld.
func ID(id string) ClientOption {
	return func(r *calls.Reading) { r.ID = id }
}

// Evict asks the leader to go within grace, and says why. Its Revoking is closed; at the end of the grace its term ends with a
// *session.RevokedError, and leadership goes to the next candidate (of work in Run: when that has returned). An evicted leader in Run campaigns again.
// Its successor is chosen before it stands again, so that it leads again at once only if nobody else waits; later it leads when its turn
// comes, by its priority. If it
// has the option Preempt, and a higher priority than its successor, it takes leadership back: stop it, or have it Drain. It returns when
// etcd has the order, which the leader hears
// within a second. ErrNotHeld: nobody leads. It takes 1 read and 1 transaction.
func Evict(ctx context.Context, client *clientv3.Client, name, reason string, grace time.Duration, opts ...ClientOption) error {
	return calls.Revoke(ctx, client, kind, name, reason, grace, opts, leading)
}

// Force takes leadership from the leader at once: the next candidate leads when it returns, or soon after, and the old leader may believe in its term for
// a second more. Its token is stale at once. Prefer Evict, unless the leader doesn't obey.
func Force(ctx context.Context, client *clientv3.Client, name, reason string, opts ...ClientOption) error {
	return calls.Force(ctx, client, kind, name, reason, opts, leading)
}

// Remove takes the candidate with that id out of the line: its campaign fails with a *session.RevokedError that Is ErrRemoved.
func Remove(ctx context.Context, client *clientv3.Client, name, id, reason string, opts ...ClientOption) error {
	return calls.Remove(ctx, client, kind, name, id, reason, opts, func(n line.Named) line.State { return n.State })
}

func leading(n line.Named) line.State { return n.Holders }
