package lock

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

// ID has an order be for one acquisition alone: whoever has got the lock since is left in peace.
func ID(id string) ClientOption {
	return func(r *calls.Reading) { r.ID = id }
}

// Revoke asks the holder to give the lock back within grace, and returns when it is asked. The holder hears of it (session.Hold.Revoking); at the end
// of the grace its context ends with a *session.RevokedError, and the lock is given back. Who holds several locks
// by AcquireAll gives all of them back; one that still waits for some of them does not hear: Remove it where it waits.
//
// ErrNotHeld says that nobody holds it. What was asked, of whom, by whom and why stands beside the lock: State.Revoked. A holder that is
// stopped does not hear: its lease ends when it has not been renewed for the TTL, or Force takes the lock from it. While etcd is away it fails after 5 s, or when
// ctx ends; an error that Is session.ErrUnknownOutcome says that the holder may have been asked: asking again does no harm, if ID says whom.
func Revoke(ctx context.Context, client *clientv3.Client, name, reason string, grace time.Duration, opts ...ClientOption) error {
	return calls.Revoke(ctx, client, kind, name, reason, grace, opts, line.Named.Head)
}

// Force takes the lock from its holder at once, and returns when it is gone: its token is stale then. The holder notices within a second, and may
// believe for that long that it holds the lock, together with the next one: what checks tokens is safe, what doesn't is not. Prefer
// Revoke. What Revoke says of errors holds here too.
func Force(ctx context.Context, client *clientv3.Client, name, reason string, opts ...ClientOption) error {
	return calls.Force(ctx, client, kind, name, reason, opts, line.Named.Head)
}

// Remove takes somebody who waits out of the line: State.Waiters has the ids. Its acquisition fails with a *session.RevokedError that Is
// ErrRemoved. ErrNotWaiting says that nobody with that id waits; it may hold the lock by now.
func Remove(ctx context.Context, client *clientv3.Client, name, id, reason string, opts ...ClientOption) error {
	return calls.Remove(ctx, client, kind, name, id, reason, opts, line.Named.Behind)
}
