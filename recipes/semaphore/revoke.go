package semaphore

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

// Revoke asks all who hold permits, or one of them (ID), to give them back within grace. It is as lock.Revoke is.
func Revoke(ctx context.Context, client *clientv3.Client, name, reason string, grace time.Duration, opts ...ClientOption) error {
	o, err := lookers(opts)
	if err != nil {
		return err
	}
	return calls.Revoke(ctx, client, kind, name, reason, grace, o, holding)
}

// Force takes their permits from all who hold some, or from one of them (ID), at once. It is as lock.Force is.
func Force(ctx context.Context, client *clientv3.Client, name, reason string, opts ...ClientOption) error {
	o, err := lookers(opts)
	if err != nil {
		return err
	}
	return calls.Force(ctx, client, kind, name, reason, o, holding)
}

// Remove takes somebody who waits out of the line. It is as lock.Remove is.
func Remove(ctx context.Context, client *clientv3.Client, name, id, reason string, opts ...ClientOption) error {
	o, err := lookers(opts)
	if err != nil {
		return err
	}
	return calls.Remove(ctx, client, kind, name, id, reason, o, waiting)
}

func holding(n line.Named) line.State { return n.Holders }

func waiting(n line.Named) line.State { return n.State }
