package recipestest

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestRevokingALease: every key on it goes, and no other, and who renews it hears.
func TestRevokingALease(t *testing.T) {
	c := Client(t)
	ctx := within(t, late)
	mine, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	for key, id := range map[string]clientv3.LeaseID{"a": mine.ID, "b": mine.ID, "c": other.ID, "d": 0} {
		if _, err := c.Put(ctx, key, "v", clientv3.WithLease(id)); err != nil {
			t.Fatal(err)
		}
	}
	RevokeLeaseOf(t, c, "a")
	for key, n := range map[string]int64{"a": 0, "b": 0, "c": 1, "d": 1} {
		wantKey(t, c, key, strings.Repeat("v", int(n)), n)
	}
	if _, err := c.KeepAliveOnce(ctx, mine.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("renewing the lease = %v, want ErrLeaseNotFound", err)
	}
	if _, err := c.KeepAliveOnce(ctx, other.ID); err != nil {
		t.Errorf("renewing the other lease = %v", err)
	}
	fake := &fakeT{TB: t}
	for _, key := range []string{"a", "d"} { // gone, and without a lease
		if got := fake.failure(func() { RevokeLeaseOf(fake, c, key) }); got == "" {
			t.Errorf("RevokeLeaseOf(%q) doesn't fail the test: there is no lease", key)
		}
	}
}

// TestDeletingKeys: all at once, or none.
func TestDeletingKeys(t *testing.T) {
	c := NewServer(t).Client()
	for _, key := range []string{"a", "b", "c"} {
		put(t, c, key, "v")
	}
	before := put(t, c, "d", "v")
	fake := &fakeT{TB: t}
	if got := fake.failure(func() { Delete(fake, c, "a", "x") }); got == "" {
		t.Error("Delete doesn't fail the test: one key isn't there")
	}
	wantKey(t, c, "a", "v", 1)
	Delete(t, c, "a", "c")
	for key, n := range map[string]int64{"a": 0, "b": 1, "c": 0, "d": 1} {
		wantKey(t, c, key, strings.Repeat("v", int(n)), n)
	}
	if got, want := put(t, c, "d", "v"), before+2; got != want {
		t.Errorf("the revision is %d, want %d: one Delete is one revision", got, want)
	}
}

func TestCompacting(t *testing.T) {
	srv := NewServer(t)
	c := srv.Client()
	put(t, c, "x", "1")
	second := put(t, c, "x", "2")
	for range 2 { // the second has nothing to do
		if got := Compact(t, c); got != second {
			t.Errorf("Compact = %d, want %d", got, second)
		}
	}
	ctx := within(t, late)
	if _, err := c.Get(ctx, "x", clientv3.WithRev(second-1)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("reading the revision before = %v, want ErrCompacted", err)
	}
	if resp, err := c.Get(ctx, "x", clientv3.WithRev(second)); err != nil || len(resp.Kvs) != 1 {
		t.Errorf("reading the revision = %v, %v, want one key", resp, err)
	}
	resp := <-c.Watch(ctx, "x", clientv3.WithRev(1))
	if resp.CompactRevision != second {
		t.Errorf("a watch from 1 on says compacted at %d, want %d", resp.CompactRevision, second)
	}
}
