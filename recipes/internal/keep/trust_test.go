package keep_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

var soak = flag.Duration("soak", 0, "how long TestTrustEndsBeforeTheLease begins new rounds; 0 is one round of each fault")

const (
	election = time.Second // the default of a cluster
	holders  = 16
	late     = time.Minute
)

// A leaderFault takes the leader's office from it, and undo gives it back its place among the members.
type leaderFault struct {
	processes bool
	ttl       time.Duration
	do        func(t *testing.T, c *recipestest.ProcessCluster, old, next int)
	undo      func(c *recipestest.ProcessCluster, old int)
}

// leaderFaults have the smallest TTL that the default margin allows, or one that leaves time for the fault.
var leaderFaults = map[string]leaderFault{
	"moves, and is cut off at once": {
		ttl: 4 * time.Second,
		do: func(_ *testing.T, c *recipestest.ProcessCluster, old, next int) {
			for i := range c.Size() {
				c.CutWay(i, old) // or it would hear that another leads
			}
			c.MoveLeader(next)
			c.Cut(old)
		},
		undo: func(c *recipestest.ProcessCluster, _ int) { c.Mend() },
	},
	"is cut off": {
		ttl:  4 * time.Second,
		do:   func(_ *testing.T, c *recipestest.ProcessCluster, old, _ int) { c.Cut(old) },
		undo: func(c *recipestest.ProcessCluster, _ int) { c.Mend() },
	},
	"is killed": {
		processes: true,
		ttl:       4 * time.Second,
		do:        func(_ *testing.T, c *recipestest.ProcessCluster, old, _ int) { c.Process(old).Kill() },
		undo:      func(c *recipestest.ProcessCluster, old int) { c.Process(old).Start() },
	},
	"stands still, cut off, and then goes on": { // it counts its time on from where it was
		processes: true,
		ttl:       7 * time.Second,
		do: func(t *testing.T, c *recipestest.ProcessCluster, old, _ int) {
			t.Helper()
			c.Cut(old)
			c.Process(old).Freeze()
			pause(t, 4*time.Second)
			c.Process(old).Thaw()
		},
		undo: func(c *recipestest.ProcessCluster, _ int) { c.Mend() },
	},
}

// pause lets time pass for what is to happen meanwhile.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// TestTrustEndsBeforeTheLease: whatever becomes of the leader, a hold's context ends before anybody can see that its key is gone. The
// holds go through the old leader, which clients reach all the time.
func TestTrustEndsBeforeTheLease(t *testing.T) {
	var all sync.WaitGroup
	for name, fault := range leaderFaults {
		all.Go(func() { // they wait most of the time, so there may be more of them than processors
			t.Run("the leader "+name, func(t *testing.T) { testTrust(t, fault) })
		})
	}
	all.Wait()
}

func testTrust(t *testing.T, fault leaderFault) {
	t.Helper()
	c := &recipestest.ProcessCluster{}
	if fault.processes {
		c = recipestest.NewProcessCluster(t, 3, recipestest.ElectionTimeout(election))
	} else {
		c.Cluster = *recipestest.NewCluster(t, 3, recipestest.ElectionTimeout(election))
	}
	seen := watchDeletions(t, &c.Cluster)
	least, rounds := time.Duration(math.MaxInt64), 0
	for began := time.Now(); rounds == 0 || time.Since(began) < *soak; rounds++ {
		least = min(least, trial(t, c, fault, seen))
	}
	t.Logf("%d rounds of %d holds; the smallest distance is %v", rounds, holders, least)
}

// trial has many hold locks through the leader, at every phase of renewal, breaks the leader, and returns how long before others could
// know did the last of them know.
func trial(t *testing.T, c *recipestest.ProcessCluster, fault leaderFault, seen *deletions) time.Duration {
	t.Helper()
	old := c.Leader()
	client := c.Member(old).Client()
	var all []*holding
	for i := range holders {
		all = append(all, hold(t, client, fmt.Sprintf("x%d", i), fault.ttl))
		pause(t, fault.ttl/3/holders)
	}
	fault.do(t, c, old, (old+1)%c.Size())
	least := time.Duration(math.MaxInt64)
	for i, h := range all {
		gone := seen.at(t, h.key)
		select {
		case <-h.ended:
		case <-time.After(late):
			t.Fatalf("hold %d hasn't ended, and its key is deleted", i)
		}
		if why := context.Cause(h.held.Context()); !errors.Is(why, session.ErrLost) {
			t.Errorf("hold %d ended with %v, want ErrLost", i, why)
		}
		if h.at >= gone {
			t.Errorf("hold %d ended %v after its key was deleted", i, h.at-gone)
		}
		least = min(least, gone-h.at)
	}
	fault.undo(c, old)
	for _, h := range all {
		h.close()
	}
	return least
}

// A holding is a lock held on a session of its own.
type holding struct {
	session *session.Session
	held    *lock.Held
	key     string
	at      time.Duration // when its context ended, once ended is closed
	ended   chan struct{}
}

func hold(t *testing.T, client *clientv3.Client, name string, ttl time.Duration) *holding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), late)
	defer cancel()
	s, err := session.Open(ctx, client, session.TTL(ttl))
	if err != nil {
		t.Fatal(err)
	}
	held, err := lock.Acquire(ctx, s, name)
	if err != nil {
		t.Fatal(err)
	}
	h := &holding{session: s, held: held, key: held.Claims()[0].Key, ended: make(chan struct{})}
	context.AfterFunc(held.Context(), func() {
		h.at = keep.SinceBoot()
		close(h.ended)
	})
	return h
}

func (h *holding) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = h.session.Close(ctx) // its lease has ended
}

// deletions are when the first member told of each key that it was deleted.
type deletions struct {
	mu      sync.Mutex
	first   map[string]time.Duration
	changed chan struct{}
}

func watchDeletions(t *testing.T, c *recipestest.Cluster) *deletions {
	t.Helper()
	d := &deletions{first: map[string]time.Duration{}, changed: make(chan struct{})}
	var watching sync.WaitGroup
	t.Cleanup(watching.Wait)
	for i := range c.Size() {
		watch := c.Member(i).Client().Watch(t.Context(), "/stile/v1/lock/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		<-watch
		watching.Go(func() {
			for resp := range watch {
				d.saw(keep.SinceBoot(), resp.Events)
			}
		})
	}
	return d
}

func (d *deletions) saw(at time.Duration, events []*clientv3.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range events {
		key := string(e.Kv.Key)
		if _, known := d.first[key]; e.Type == clientv3.EventTypeDelete && !known {
			d.first[key] = at
		}
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

// at waits until a key's deletion was seen.
func (d *deletions) at(t *testing.T, key string) time.Duration {
	t.Helper()
	timeout := time.After(late)
	for {
		d.mu.Lock()
		at, known := d.first[key]
		changed := d.changed
		d.mu.Unlock()
		if known {
			return at
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s is not deleted within %v", key, late)
		}
	}
}
