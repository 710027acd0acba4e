package lock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestASessionSurvivesAnOutageLongerThanItsTTL: what was held is lost, what waited goes on waiting, and what comes after needs no new
// session, also under the name that the session held itself.
func TestASessionSurvivesAnOutageLongerThanItsTTL(t *testing.T) {
	t.Parallel()
	each(t, map[string]func(t *testing.T) (c *clientv3.Client, begin, end func()){
		"of the network": func(t *testing.T) (*clientv3.Client, func(), func()) {
			t.Helper()
			p := recipestest.NewProxy(t, recipestest.Endpoint(t))
			prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
			other := recipestest.Namespace(t, prefix)
			return recipestest.Namespace(t, prefix, p), func() { p.Cut(recipestest.Silence) }, func() {
				eventually(t, "etcd has ended the lease", func() bool { return len(keysOf(t, other)) == 1 }) // tail
				p.Mend()
			}
		},
		"of the server, which extends leases when it starts": func(t *testing.T) (*clientv3.Client, func(), func()) {
			t.Helper()
			srv := recipestest.NewServer(t)
			return srv.Client(), srv.Stop, srv.Start
		},
	}, func(t *testing.T, outage func(t *testing.T) (*clientv3.Client, func(), func())) { //nolint:thelper // the body of a subtest
		c, begin, end := outage(t)
		s := careless(t, c, time.Second)
		held := acquire(t, s, "x")
		waiting := acquiring(t, s, "x")
		waiters(t, c, "x", 1)
		begin()
		lost(t, held)
		during := acquiring(t, s, "y")
		end()
		c.ActiveConnection().ResetConnectBackoff()
		release(t, during())
		next := waiting()
		if next.Token().Compare(held.Token()) <= 0 {
			t.Errorf("token %v after %v, want it to rise", next.Token(), held.Token())
		}
		if _, err := next.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
			t.Errorf("the new holder's Txn: %v", err)
		}
		release(t, next)
		if err := held.Err(); !errors.Is(err, session.ErrLost) {
			t.Errorf("the old hold came back: %v", err)
		}
		if err := held.Release(t.Context()); !errors.Is(err, session.ErrLost) {
			t.Errorf("Release of the old hold = %v, want ErrLost", err)
		}
		err := lock.Do(t.Context(), s, "x", func(context.Context) error { return nil })
		if err != nil {
			t.Errorf("Do after the outage: %v", err)
		}
	})
}
