package rwlock

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

// ID has an order be for one acquisition alone: of one reader among others.
func ID(id string) ClientOption {
	return func(r *calls.Reading) { r.ID = id }
}

// Revoke asks all who hold the lock to give it back within grace: the writer, or the readers. It is as lock.Revoke is.
func Revoke(ctx context.Context, client *clientv3.Client, name, reason string, grace time.Duration, opts ...ClientOption) error {
	return calls.Revoke(ctx, client, kind, name, reason, grace, opts, holding)
}

// Force takes the lock from all who hold it, at once. It is as lock.Force is.
func Force(ctx context.Context, client *clientv3.Client, name, reason string, opts ...ClientOption) error {
	return calls.Force(ctx, client, kind, name, reason, opts, holding)
}

// Remove takes somebody who waits out of the line. It is as lock.Remove is.
func Remove(ctx context.Context, client *clientv3.Client, name, id, reason string, opts ...ClientOption) error {
	return calls.Remove(ctx, client, kind, name, id, reason, opts, waiting)
}

func holding(n line.Named) line.State { return n.Holders }

func waiting(n line.Named) line.State { return n.State }
