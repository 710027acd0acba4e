package lock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestTxnIsGuardedByEtcd: the hold is believed here, and its key is another's by now. What counts is the mod revision: a key that was
// written again has the same create revision.
func TestTxnIsGuardedByEtcd(t *testing.T) {
	for name, take := range map[string]func(c *clientv3.Client, key string) error{
		"deleted": func(c *clientv3.Client, key string) error { _, err := c.Delete(t.Context(), key); return err },
		"rewritten": func(c *clientv3.Client, key string) error {
			_, err := c.Put(t.Context(), key, "", clientv3.WithIgnoreLease())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := recipestest.Client(t)
			s := open(t, c)
			for _, conditional := range []bool{false, true} {
				held := acquire(t, s, fmt.Sprint("conditional ", conditional))
				if err := take(c, held.Claims()[0].Key); err != nil {
					t.Fatal(err)
				}
				if err := held.Err(); err != nil {
					t.Fatalf("it was noticed before etcd could be asked: %v", err)
				}
				txn := held.Txn(t.Context())
				if conditional {
					txn = txn.If(clientv3.Compare(clientv3.CreateRevision("k"), "=", 0))
				}
				if _, err := txn.Then(clientv3.OpPut("k", "stale")).Commit(); !errors.Is(err, session.ErrLost) {
					t.Errorf("Commit = %v, want ErrLost", err)
				}
				if resp, err := c.Get(t.Context(), "k"); err != nil || len(resp.Kvs) > 0 {
					t.Errorf("the stale write was committed (%v)", err)
				}
				if cause := context.Cause(held.Context()); !errors.Is(cause, session.ErrLost) {
					t.Errorf("cause %v, want ErrLost", cause)
				}
			}
		})
	}
}

// TestATxnCutOffIsUnknown: etcd has applied it, and the answer does not come before the session is closed or the lease is lost. That the
// hold has ended says nothing about the write.
func TestATxnCutOffIsUnknown(t *testing.T) {
	for name, end := range map[string]struct {
		act  func(t *testing.T, s *session.Session, c *clientv3.Client, held *lock.Held)
		want error
	}{
		"closed": {func(t *testing.T, s *session.Session, _ *clientv3.Client, _ *lock.Held) {
			t.Helper()
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}, session.ErrClosed},
		"lost": {func(t *testing.T, _ *session.Session, c *clientv3.Client, held *lock.Held) {
			t.Helper()
			recipestest.RevokeLeaseOf(t, c, held.Claims()[0].Key)
		}, session.ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
			faults := recipestest.NewFaults(t)
			s := open(t, recipestest.Namespace(t, prefix, faults))
			other := recipestest.Namespace(t, prefix)
			held := acquire(t, s, "x")
			lost := faults.DropAnswer(1, recipestest.Silence)
			done := make(chan error, 1)
			go func() {
				_, err := held.Txn(context.Background()).Then(clientv3.OpPut("k", "v")).Commit()
				done <- err
			}()
			<-lost.Answered()
			end.act(t, s, other, held)
			if err := <-done; !errors.Is(err, session.ErrUnknownOutcome) || !errors.Is(err, end.want) {
				t.Errorf("Commit = %v, want ErrUnknownOutcome and %v: it was applied", err, end.want)
			}
			if resp, err := other.Get(t.Context(), "k"); err != nil || len(resp.Kvs) != 1 {
				t.Errorf("the write that the test is about is not there: %v", err)
			}
		})
	}
}
