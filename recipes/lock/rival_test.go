package lock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// A cutOff is a way in which the holder of so many locks loses etcd. It opens the holder's session, and returns what separates the two.
type cutOff struct {
	locks int
	open  func(t *testing.T, prefix string) (holder *session.Session, separate func())
}

// TestTheHoldEndsBeforeARivalHolds: the holder can't reach etcd any more, and at the instant at which another gets the lock it
// has stopped believing.
func TestTheHoldEndsBeforeARivalHolds(t *testing.T) {
	t.Parallel()
	each(t, map[string]cutOff{
		"connections swallowed": {50, proxied(func(p *recipestest.Proxy) { p.Cut(recipestest.Silence) })},
		"connections refused":   {5, proxied(func(p *recipestest.Proxy) { p.Cut(recipestest.Reset) })},
		"requests swallowed":    {5, proxied(func(p *recipestest.Proxy) { p.Hold(recipestest.ToServer) })},
		"answers swallowed":     {5, proxied(func(p *recipestest.Proxy) { p.Hold(recipestest.ToClient) })},
		"a slow answer":         {5, slowGrant},
	}, func(t *testing.T, cut cutOff) { //nolint:thelper // the body of a subtest
		prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
		s, separate := cut.open(t, prefix)
		holds := make([]*lock.Held, cut.locks)
		atOnce(t, cut.locks, func(ctx context.Context, i int) (err error) {
			holds[i], err = lock.Acquire(ctx, s, fmt.Sprint(i))
			return err
		})
		rival := open(t, recipestest.Namespace(t, prefix), session.TTL(300*time.Second))
		separate()
		atOnce(t, cut.locks, func(ctx context.Context, i int) error {
			next, err := lock.Acquire(ctx, rival, fmt.Sprint(i))
			if err != nil {
				return err
			}
			if holds[i].Context().Err() == nil || holds[i].Err() == nil {
				return errors.New("the rival has it, and the holder believes that it has")
			}
			return next.Release(ctx)
		})
	})
}

// atOnce calls f for 0 to n-1 at once.
func atOnce(t *testing.T, n int, f func(ctx context.Context, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(ctx, i); err != nil {
				t.Errorf("lock %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// proxied is a holder with the smallest TTL, whose whole client goes through a proxy.
func proxied(separate func(p *recipestest.Proxy)) func(*testing.T, string) (*session.Session, func()) {
	return func(t *testing.T, prefix string) (*session.Session, func()) {
		t.Helper()
		p := recipestest.NewProxy(t, recipestest.Endpoint(t))
		s := careless(t, recipestest.Namespace(t, prefix, p), time.Second)
		return s, func() { separate(p) }
	}
}

// careless is a session with a small margin and little time to clean up, that need not be closed in peace.
func careless(t *testing.T, c *clientv3.Client, ttl time.Duration) *session.Session {
	t.Helper()
	s, err := session.New(c, session.TTL(ttl), session.Margin(300*time.Millisecond), session.CleanupTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// slowGrant: the answer to the grant takes longer than the margin and all that etcd takes to end a lease, and no renewal arrives.
// Whoever counted from the answer would believe too long. The holder's other requests go another way, until they are cut off.
func slowGrant(t *testing.T, prefix string) (*session.Session, func()) {
	t.Helper()
	const ttl, late = 3 * time.Second, 1200 * time.Millisecond
	slow, other := recipestest.NewProxy(t, recipestest.Endpoint(t)), recipestest.NewProxy(t, recipestest.Endpoint(t))
	leases, c := recipestest.Namespace(t, prefix, slow), recipestest.Namespace(t, prefix, other)
	c.Lease = leases.Lease
	if _, err := leases.Get(t.Context(), "connect"); err != nil {
		t.Fatal(err)
	}
	slow.Delay(recipestest.ToClient, late)
	s := careless(t, c, ttl)
	started := make(chan error, 1)
	go func() { started <- s.Start(t.Context()) }()
	eventually(t, "the grant has arrived", func() bool { return slow.Kept(recipestest.ToClient) > 0 })
	slow.Hold(recipestest.ToServer)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return s, func() { other.Cut(recipestest.Silence) }
}
