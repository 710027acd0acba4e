package chaos

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Admin reaches etcd past all faults of the network.
type Admin struct {
	etcd *clientv3.Client
}

// requestLimit bounds the harness's own requests to etcd.
const requestLimit = 10 * time.Second

// compact forgets all history up to rev, which the tap has.
func (a *Admin) compact(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	_, err := a.etcd.Compact(ctx, rev)
	if errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, rpctypes.ErrFutureRev) {
		return nil
	}
	return err
}

// leases is how many there are: 0, or what is left within a time in which those of dead clients must end.
func (a *Admin) leases(ctx context.Context, within time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, within+requestLimit)
	defer cancel()
	for until := time.Now().Add(within); ; {
		resp, err := a.etcd.Leases(ctx)
		if err != nil {
			return 0, err
		}
		if len(resp.Leases) == 0 || time.Now().After(until) || !sleep(ctx, 100*time.Millisecond) {
			return len(resp.Leases), nil
		}
	}
}

// below is the keys that begin with root.
func (a *Admin) below(ctx context.Context, root string) (keys []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	resp, err := a.etcd.Get(ctx, root, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

// revision is etcd's newest one.
func (a *Admin) revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	resp, err := a.etcd.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithLimit(1), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}
