package session_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// leftovers are what a session could leave behind.
type leftovers struct{ goroutines, descriptors, leases, keys int }

func (l leftovers) within(of leftovers) bool {
	return l.goroutines <= of.goroutines && l.descriptors <= of.descriptors && l.leases <= of.leases && l.keys <= of.keys
}

func count(t *testing.T, c *clientv3.Client) leftovers {
	t.Helper()
	leases, err := c.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.Get(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return leftovers{runtime.NumGoroutine(), len(descriptors), len(leases.Leases), int(keys.Count)}
}

// TestClosedSessionsLeaveNothing: no goroutine, descriptor, lease or key, whatever they were doing.
func TestClosedSessionsLeaveNothing(t *testing.T) {
	n := 2000
	if raceDetector {
		n = 500 // the server is in this process
	}
	srv := recipestest.NewServer(t)
	c := srv.Client()
	requests := recipestest.Count(c)
	holder, err := session.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	if _, err := lock.Acquire(t.Context(), holder, "held"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the holder looks after its key", func() bool { return requests.Txns.Load() == 2 })
	openAndClose(t, srv.Endpoint(), 8) // what is made once and for all is there
	before := count(t, c)
	openAndClose(t, srv.Endpoint(), n)
	var after leftovers
	defer func() { t.Logf("%d sessions: before %+v, after %+v", n, before, after) }()
	eventually(t, "nothing is left of them", func() bool {
		after = count(t, c)
		return after.within(before)
	})
}

// openAndClose opens n sessions, on 8 clients that come and go, and closes them while they do this or that.
func openAndClose(t *testing.T, endpoint string, n int) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := openUseClose(t.Context(), c, i); err != nil {
					t.Errorf("session %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func openUseClose(ctx context.Context, c *clientv3.Client, i int64) error {
	s, err := session.Open(ctx, c, session.TTL(5*time.Minute)) // what is left stays that long
	if err != nil {
		return err
	}
	waits := make(chan error, 1)
	switch i % 4 {
	case 0: // it holds
		_, err = lock.Acquire(ctx, s, fmt.Sprint(i))
	case 1: // it waits
		go func() { _, err := lock.Acquire(ctx, s, "held"); waits <- err }()
	case 2: // it was refused
		if _, err = lock.TryAcquire(ctx, s, "held"); errors.Is(err, lock.ErrHeld) {
			err = nil
		}
	case 3: // it has done its work
		err = lock.Do(ctx, s, fmt.Sprint(i), func(context.Context) error { return nil })
	}
	err = errors.Join(err, s.Close(ctx))
	if i%4 == 1 {
		if why := <-waits; !errors.Is(why, session.ErrClosed) {
			err = errors.Join(err, fmt.Errorf("a waiter: %w", why))
		}
	}
	return err
}
