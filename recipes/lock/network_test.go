package lock_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// These tests break the connection on which keep-alives and watches come. There is one of each client's own, to the server of all tests.

// quick is a session that loses its lease soon when it hears nothing.
func quick(t *testing.T, c *clientv3.Client) *session.Session {
	t.Helper()
	s, err := session.Open(t.Context(), c, session.TTL(quickTTL), session.Margin(time.Second), session.CleanupTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

const quickTTL = 3 * time.Second

// silences are the ways in which a connection goes dead, so that the client hears nothing.
var silences = map[string]func(p *recipestest.Proxy){
	"answers are held back": func(p *recipestest.Proxy) { p.Hold(recipestest.ToClient) },
	"cut, silently":         func(p *recipestest.Proxy) { p.Cut(recipestest.Silence) },
	"cut, with a reset":     func(p *recipestest.Proxy) { p.Cut(recipestest.Reset) },
}

// each runs f for all ways of breaking a connection, at one time: they mostly wait.
func everyWay(t *testing.T, breaks map[string]func(p *recipestest.Proxy), f func(t *testing.T, breaks func(p *recipestest.Proxy))) {
	t.Helper()
	var going sync.WaitGroup
	defer going.Wait()
	for name, how := range breaks {
		going.Go(func() { t.Run(name, func(t *testing.T) { f(t, how) }) })
	}
}

// heal undoes all of them.
func heal(c *clientv3.Client, p *recipestest.Proxy) {
	p.Release(recipestest.ToServer)
	p.Release(recipestest.ToClient)
	p.Mend()
	c.ActiveConnection().ResetConnectBackoff()
}

// TestNoTwoBelieveWhenAConnectionBreaks: the holder stops believing before etcd gives the lock to another, and later it can have the lock again.
func TestNoTwoBelieveWhenAConnectionBreaks(t *testing.T) {
	breaks := maps.Clone(silences)
	breaks["requests are held back"] = func(p *recipestest.Proxy) { p.Hold(recipestest.ToServer) }
	everyWay(t, breaks, func(t *testing.T, breaks func(p *recipestest.Proxy)) {
		t.Helper()
		proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
		c, other := pair(t, proxy)
		requests := recipestest.Count(c)
		s, rival := quick(t, c), open(t, other)
		held := acquire(t, s, "x")
		eventually(t, "the lease is renewed", func() bool { return requests.KeepAlives.Load() > 1 }) // then the first is answered
		got := acquires(t, rival)
		waiters(t, other, "x", 1)
		breaks(proxy)
		next := receive(t, got)
		if err := held.Err(); !errors.Is(err, session.ErrLost) || held.Context().Err() == nil {
			t.Errorf("two believe: Err() = %v, and the context has ended with %v", err, held.Context().Err())
		}
		heal(c, proxy)
		if _, err := held.Txn(t.Context()).Then(clientv3.OpPut("data", "v")).Commit(); !errors.Is(err, session.ErrLost) {
			t.Errorf("its Txn = %v, want ErrLost", err)
		}
		again := acquires(t, s)
		waiters(t, other, "x", 1)
		if err := next.Err(); err != nil {
			t.Errorf("the old holder's return has ended the hold of the next: %v", err)
		}
		release(t, next)
		release(t, receive(t, again))
		closes(t, s)
		eventually(t, "nothing is left", func() bool { return len(keysOf(t, other)) == 0 })
	})
}

// closes closes a session that may have to wait for what it asked while its connection was broken.
func closes(t *testing.T, s *session.Session) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("Close = %v", err)
	}
}

// TestAWaiterThatHearsNothing: its watches are silent, and so are its keep-alives, so that it stops waiting for those; and it does not
// stand in the way of others for longer than that takes. When it hears again it stands in line again.
func TestAWaiterThatHearsNothing(t *testing.T) {
	everyWay(t, silences, func(t *testing.T, silence func(p *recipestest.Proxy)) {
		t.Helper()
		proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
		c, other := pair(t, proxy)
		s, rival := quick(t, c), open(t, other)
		first := acquire(t, rival, "x")
		got := acquires(t, s)
		waiters(t, other, "x", 1)
		behind := acquires(t, rival)
		waiters(t, other, "x", 2)
		silence(proxy)
		release(t, first)
		var next *lock.Held
		within(t, quickTTL+time.Second, "getting past a waiter that hears nothing", func() { next = receive(t, behind) })
		select {
		case <-got:
			t.Fatal("the waiter that hears nothing has heard something")
		default:
		}
		heal(c, proxy)
		waiters(t, other, "x", 1)
		release(t, next)
		held := receive(t, got)
		if held.Token().Compare(next.Token()) <= 0 {
			t.Errorf("token %v after %v, want it to stand in line again, at the end", held.Token(), next.Token())
		}
		release(t, held)
		closes(t, s)
		eventually(t, "nothing is left", func() bool { return len(keysOf(t, other)) == 0 })
	})
}

// TestAWaiterFindsOutWhatItHasMissed: the head was passed on to it while its connection was broken, not so long that its lease ended.
func TestAWaiterFindsOutWhatItHasMissed(t *testing.T) {
	everyWay(t, silences, func(t *testing.T, silence func(p *recipestest.Proxy)) {
		t.Helper()
		proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
		c, other := pair(t, proxy)
		s, rival := open(t, c, session.TTL(120*time.Second)), open(t, other)
		first := acquire(t, rival, "x")
		got := acquires(t, s)
		waiters(t, other, "x", 1)
		silence(proxy)
		release(t, first)
		select {
		case <-got:
			t.Fatal("it has heard of it: the test shows nothing")
		default:
		}
		heal(c, proxy)
		held := receive(t, got)
		if err := held.Err(); err != nil {
			t.Errorf("Err() = %v", err)
		}
		release(t, held)
	})
}

// TestAHolderFindsOutWhatItHasMissed: somebody has deleted its key while its connection was broken.
func TestAHolderFindsOutWhatItHasMissed(t *testing.T) {
	everyWay(t, silences, func(t *testing.T, silence func(p *recipestest.Proxy)) {
		t.Helper()
		proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
		c, other := pair(t, proxy)
		requests := recipestest.Count(c)
		s := open(t, c, session.TTL(120*time.Second))
		held := acquire(t, s, "x")
		eventually(t, "the look at the own key", func() bool { return requests.Txns.Load() == 2 })
		silence(proxy)
		recipestest.Delete(t, other, held.Claims()[0].Key)
		if err := held.Err(); err != nil {
			t.Fatalf("it has heard of it (%v): the test shows nothing", err)
		}
		heal(c, proxy)
		lost(t, held)
	})
}
