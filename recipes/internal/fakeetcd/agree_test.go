package fakeetcd

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/stile-dev/stile/recipes/recipestest"
)

const (
	sequences = 200
	length    = 50
	patience  = 10 * time.Second
	marks     = 4 // a watch may begin at a revision that is to come
)

// TestAgreesWithEtcd: whatever is sent to both, the fake and etcd give the same answers and the same events, to the revision.
func TestAgreesWithEtcd(t *testing.T) {
	if _, told := os.LookupEnv("RAPID_CHECKS"); !told && flag.Lookup("rapid.checks").Value.String() == "100" {
		_ = flag.Set("rapid.checks", fmt.Sprint(sequences))
		defer func() { _ = flag.Set("rapid.checks", "100") }()
	}
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{recipestest.Endpoint(t)}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	least, err := etcd.Grant(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var did [len(kinds)]atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t, etcd, least.TTL)
		defer p.close()
		for i := range length {
			n := rapid.IntRange(0, len(kinds)-1).Draw(t, fmt.Sprintf("step %d", i))
			did[n].Add(1)
			p.step(t, kinds[n])
		}
		p.compareWatches(t)
	})
	for n, k := range kinds {
		t.Logf("%6d %s", did[n].Load(), k.name)
		if did[n].Load() == 0 {
			t.Errorf("no %s was drawn", k.name)
		}
	}
}

// side is one of the two, with what is its own: its revisions count from base, and its leases have ids that only it knows.
type side struct {
	name    string
	client  *clientv3.Client
	base    int64
	leases  []clientv3.LeaseID
	watches []*tap
	marked  int // by mark
}

// pair is the fake and the real one, side by side.
type pair struct {
	sides  [2]*side // etcd, fake
	server *Server
	rev    int64    // relative, of the last change
	story  []string // what was done, and what came
}

func newPair(t *rapid.T, etcd *clientv3.Client, leastTTL int64) *pair {
	prefix := fmt.Sprintf("%d/", time.Now().UnixNano())
	narrowed := clientv3.NewCtxClient(etcd.Ctx())
	narrowed.KV = namespace.NewKV(etcd.KV, prefix)
	narrowed.Lease = namespace.NewLease(etcd.Lease, prefix)
	narrowed.Watcher = namespace.NewWatcher(clientv3.NewWatcher(etcd), prefix)
	s := New(Options{LeastTTL: leastTTL})
	p := &pair{server: s, sides: [2]*side{
		{name: "etcd", client: narrowed}, {name: "fake", client: s.Connect("it", Direct{}).Client()},
	}}
	for _, side := range p.sides {
		resp, err := side.client.Put(context.Background(), "begin", "")
		if err != nil {
			t.Fatal(err)
		}
		side.base = resp.Header.Revision - 2
	}
	p.rev = 2
	return p
}

func (p *pair) close() {
	for _, side := range p.sides {
		for _, id := range side.leases {
			_, _ = side.client.Revoke(context.Background(), id)
		}
		_ = side.client.Watcher.Close()
	}
	p.server.Close()
}

// kind is a kind of operation: draw draws one, which is then done on each side.
type kind struct {
	name string
	draw func(t *rapid.T, p *pair) func(s *side) (answer string)
}

// step does one operation on both.
func (p *pair) step(t *rapid.T, k kind) {
	do := k.draw(t, p)
	answers := [2]string{do(p.sides[0]), do(p.sides[1])}
	p.story = append(p.story, k.name+" -> "+answers[0])
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Fatalf("%s: etcd and the fake differ (-etcd +fake):\n%s\nthe story so far:\n%s", k.name, diff, strings.Join(p.story, "\n"))
	}
	resp, err := p.sides[1].client.Get(context.Background(), "now")
	if err != nil {
		t.Fatal(err)
	}
	p.rev = resp.Header.Revision - p.sides[1].base
}

// tap collects what a watch says, by revision: how etcd cuts its answers is its own affair.
type tap struct {
	c      clientv3.WatchChan
	cancel context.CancelFunc
	seen   string
}

// compareWatches writes a last key that every watch sees, and compares what each has seen until then.
func (p *pair) compareWatches(t *rapid.T) {
	var seen [2][]string
	for i, s := range p.sides {
		if len(s.watches) == 0 {
			continue
		}
		if err := s.mark(); err != nil {
			t.Fatal(err)
		}
		for _, w := range s.watches {
			seen[i] = append(seen[i], s.collect(w))
			w.cancel()
		}
	}
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
		t.Fatalf("the watches differ (-etcd +fake):\n%s\nthe story:\n%s", diff, strings.Join(p.story, "\n"))
	}
}

// collect reads a watch until the next mark, or its end. What was seen before comes first.
func (s *side) collect(w *tap) string {
	var b strings.Builder
	b.WriteString(w.seen)
	last := false
	timeout := time.After(patience)
	for {
		select {
		case resp, ok := <-w.c:
			if !ok {
				return b.String() + "closed"
			}
			if resp.Created || resp.Err() != nil {
				fmt.Fprintf(&b, "created %v, canceled %v, compacted %d, %v\n", resp.Created, resp.Canceled, s.rel(resp.CompactRevision), resp.Err())
			}
			for _, ev := range resp.Events {
				if string(ev.Kv.Key) == "zz" {
					if last = last || string(ev.Kv.Value) == fmt.Sprint(s.marked); last && ev.Kv.Version%marks == 0 {
						return b.String()
					}
					continue
				}
				fmt.Fprintf(&b, "%v %s, before: %s\n", ev.Type, s.kv(ev.Kv), s.kv(ev.PrevKv))
			}
		case <-timeout:
			return b.String() + "nothing comes"
		}
	}
}
