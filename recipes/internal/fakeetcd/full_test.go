package fakeetcd

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// TestAgreesWithEtcdWhenFull: out of space, etcd and the fake refuse the same requests with the same errors.
func TestAgreesWithEtcdWhenFull(t *testing.T) {
	etcd := recipestest.NewServer(t, recipestest.Quota(1<<20))
	fake := New(Options{})
	defer fake.Close()
	clients := []*clientv3.Client{etcd.Client(), fake.Connect("it", Direct{}).Client()}
	leases := make([]clientv3.LeaseID, len(clients))
	for i, c := range clients {
		resp, err := c.Grant(t.Context(), 300)
		if err != nil {
			t.Fatal(err)
		}
		leases[i] = resp.ID
		if _, err := c.Put(t.Context(), "a", "1", clientv3.WithLease(resp.ID)); err != nil {
			t.Fatal(err)
		}
	}
	etcd.Fill()
	fake.SetNoSpace(true)
	put, del, never := clientv3.OpPut("b", ""), clientv3.OpDelete("none"), clientv3.Compare(clientv3.Version("a"), "=", 99)
	for name, do := range map[string]func(c *clientv3.Client, i int) error{
		"put":          func(c *clientv3.Client, _ int) error { _, err := c.Do(t.Context(), put); return err },
		"get":          func(c *clientv3.Client, _ int) error { _, err := c.Get(t.Context(), "a"); return err },
		"delete":       func(c *clientv3.Client, _ int) error { _, err := c.Do(t.Context(), del); return err },
		"grant":        func(c *clientv3.Client, _ int) error { _, err := c.Grant(t.Context(), 60); return err },
		"renew":        func(c *clientv3.Client, i int) error { _, err := c.KeepAliveOnce(t.Context(), leases[i]); return err },
		"deleting txn": func(c *clientv3.Client, _ int) error { _, err := c.Txn(t.Context()).Then(del).Commit(); return err },
		"writing txn":  func(c *clientv3.Client, _ int) error { _, err := c.Txn(t.Context()).Then(put).Commit(); return err },
		"txn that may": func(c *clientv3.Client, _ int) error {
			_, err := c.Txn(t.Context()).If(never).Then(put).Else(del).Commit()
			return err
		},
		"txn that will": func(c *clientv3.Client, _ int) error {
			_, err := c.Txn(t.Context()).If(never).Then(del).Else(put).Commit()
			return err
		},
		"nested": func(c *clientv3.Client, _ int) error {
			_, err := c.Txn(t.Context()).Then(clientv3.OpTxn([]clientv3.Cmp{never}, []clientv3.Op{put}, []clientv3.Op{del})).Commit()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(fmt.Sprint(do(clients[0], 0)), fmt.Sprint(do(clients[1], 1))); diff != "" {
				t.Errorf("etcd and the fake differ (-etcd +fake):\n%s", diff)
			}
		})
	}
	for i, c := range clients { // last: the lease's key goes with it, alarm or not
		if _, err := c.Revoke(t.Context(), leases[i]); err != nil {
			t.Errorf("revoke: %v", err)
		}
	}
}

// TestAgreesWithEtcdOnTheEndOfALease: not before its TTL, and all its keys in one revision.
func TestAgreesWithEtcdOnTheEndOfALease(t *testing.T) {
	fake := New(Options{LeastTTL: 1})
	defer fake.Close()
	for name, c := range map[string]*clientv3.Client{"etcd": recipestest.Client(t), "fake": fake.Connect("it", Direct{}).Client()} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			granted := time.Now()
			lease, err := c.Grant(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			w := c.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithCreatedNotify(), clientv3.WithFilterPut())
			<-w
			for _, key := range []string{"b", "a", "c"} {
				if _, err := c.Put(ctx, key, "", clientv3.WithLease(lease.ID)); err != nil {
					t.Fatal(err)
				}
			}
			resp := <-w
			if took := time.Since(granted); took < time.Duration(lease.TTL)*time.Second {
				t.Errorf("it ended after %v, its TTL is %d s", took, lease.TTL)
			}
			var keys string
			for _, ev := range resp.Events {
				keys += string(ev.Kv.Key)
				if ev.Kv.ModRevision != resp.Events[0].Kv.ModRevision {
					t.Errorf("%s went at %d, %s at %d", ev.Kv.Key, ev.Kv.ModRevision, resp.Events[0].Kv.Key, resp.Events[0].Kv.ModRevision)
				}
			}
			if keys != "abc" {
				t.Errorf("one answer has the ends of %q, want abc", keys)
			}
		})
	}
}
