package recipestest

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// RevokeLeaseOf ends the lease that key is on, and with it every key on that lease, as if it had run out. Whoever keeps the lease alive
// hears at the next renewal that it is gone.
func RevokeLeaseOf(tb testing.TB, client *clientv3.Client, key string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	resp, err := client.Get(ctx, key)
	if err != nil {
		tb.Fatalf("recipestest: get %q: %v", key, err)
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0].Lease == 0 {
		tb.Fatalf("recipestest: %q is not on a lease", key)
	}
	if _, err := client.Revoke(ctx, clientv3.LeaseID(resp.Kvs[0].Lease)); err != nil {
		tb.Fatalf("recipestest: revoke the lease of %q: %v", key, err)
	}
}

// Delete deletes keys, all of them in one revision, as an operator might who doesn't ask anybody. It fails the test if one isn't there.
func Delete(tb testing.TB, client *clientv3.Client, keys ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var there []clientv3.Cmp
	var gone []clientv3.Op
	for _, key := range keys {
		there = append(there, clientv3.Compare(clientv3.CreateRevision(key), ">", 0))
		gone = append(gone, clientv3.OpDelete(key))
	}
	resp, err := client.Txn(ctx).If(there...).Then(gone...).Commit()
	if err != nil {
		tb.Fatalf("recipestest: delete %q: %v", keys, err)
	}
	if !resp.Succeeded {
		tb.Fatalf("recipestest: delete %q: not all of them are there", keys)
	}
}

// Compact forgets all history up to now, and returns the revision that is the oldest from now on: reads and watches of earlier ones
// fail. That is so for every client of the server, so use one of the test's own (NewServer) unless all tests can bear it.
func Compact(tb testing.TB, client *clientv3.Client) int64 {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	resp, err := client.Get(ctx, "compact") // any key: its answer names the revision
	if err != nil {
		tb.Fatalf("recipestest: compact: %v", err)
	}
	now := resp.Header.Revision
	if _, err := client.Compact(ctx, now, clientv3.WithCompactPhysical()); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		tb.Fatalf("recipestest: compact: %v", err)
	}
	return now
}
