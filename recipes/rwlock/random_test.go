package rwlock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// TestNeverAWriterWithAnybody: readers, writers, downgrades, tries, waits that are given up and leases that end, at random. What is checked is
// etcd's history, revision by revision, and what the holders believe.
func TestNeverAWriterWithAnybody(t *testing.T) {
	c := recipestest.Client(t)
	history := follow(t, c)
	var counts tally
	var wg sync.WaitGroup
	for worker := range 6 {
		w := &actor{T: t, client: c, session: open(t, c), counts: &counts, rand: rand.New(rand.NewPCG(uint64(worker), 7))}
		wg.Go(func() {
			for range 40 {
				w.step()
			}
		})
	}
	wg.Wait()
	left(t, c)
	history.check(t)
	t.Logf("%d reads, %d writes, %d downgrades, %d given up, %d refused, %d lost", counts.reads.Load(), counts.writes.Load(), counts.downs.Load(),
		counts.gaveUp.Load(), counts.held.Load(), counts.lost.Load())
	for what, n := range map[string]*atomic.Int64{"reads": &counts.reads, "writes": &counts.writes, "downgrades": &counts.downs, "given up": &counts.gaveUp, "refused": &counts.held, "lost": &counts.lost} {
		if n.Load() == 0 {
			t.Errorf("nothing was %s: the test proves less than it says", what)
		}
	}
}

// tally counts what was done, and who is inside.
type tally struct {
	reads, writes, downs, gaveUp, held, lost atomic.Int64
	readers, writers                         atomic.Int64
}

type actor struct {
	*testing.T
	client  *clientv3.Client
	session *session.Session
	counts  *tally
	rand    *rand.Rand
}

func (w *actor) step() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch n := w.rand.IntN(100); {
	case n < 40:
		w.read(rwlock.AcquireRead(ctx, w.session, "x"))
	case n < 70:
		w.write(rwlock.AcquireWrite(ctx, w.session, "x"))
	case n < 78:
		w.read(rwlock.TryAcquireRead(ctx, w.session, "x"))
	case n < 84:
		w.write(rwlock.TryAcquireWrite(ctx, w.session, "x"))
	case n < 92:
		brief, cancel := context.WithTimeout(ctx, time.Duration(w.rand.IntN(4))*time.Millisecond)
		defer cancel()
		w.write(rwlock.AcquireWrite(brief, w.session, "x"))
	case n < 97:
		brief, cancel := context.WithTimeout(ctx, time.Duration(w.rand.IntN(4))*time.Millisecond)
		defer cancel()
		w.read(rwlock.AcquireRead(brief, w.session, "x"))
	default:
		w.crash(ctx)
	}
}

func (w *actor) failed(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, rwlock.ErrHeld):
		w.counts.held.Add(1)
	case errors.Is(err, context.DeadlineExceeded):
		w.counts.gaveUp.Add(1)
	default:
		w.Error(err)
	}
	return true
}

func (w *actor) read(r *rwlock.Read, err error) {
	if w.failed(err) {
		return
	}
	w.counts.reads.Add(1)
	w.reading(r)
}

func (w *actor) reading(r *rwlock.Read) {
	w.counts.readers.Add(1)
	if n := w.counts.writers.Load(); n > 0 {
		w.Errorf("a reader believes beside %d writers", n)
	}
	w.counts.readers.Add(-1)
	if err := r.Release(context.Background()); err != nil {
		w.Error(err)
	}
}

func (w *actor) write(h *rwlock.Write, err error) {
	if w.failed(err) {
		return
	}
	w.counts.writes.Add(1)
	if n := w.counts.writers.Add(1); n > 1 || w.counts.readers.Load() > 0 {
		w.Errorf("a writer believes beside %d writers and %d readers", n-1, w.counts.readers.Load())
	}
	w.counts.writers.Add(-1)
	if w.rand.IntN(3) > 0 {
		if err := h.Release(context.Background()); err != nil {
			w.Error(err)
		}
		return
	}
	r, err := h.Downgrade(context.Background())
	if err != nil {
		w.Error(err)
		return
	}
	w.counts.downs.Add(1)
	w.reading(r)
}

// crash ends the lease of one that holds, as its death does.
func (w *actor) crash(ctx context.Context) {
	s, err := session.Open(ctx, w.client)
	if err != nil {
		w.Error(err)
		return
	}
	defer s.Close(ctx)
	h, err := rwlock.AcquireWrite(ctx, s, "x")
	if w.failed(err) {
		return
	}
	recipestest.RevokeLeaseOf(w.T, w.client, h.Claims()[0].Key)
	w.counts.lost.Add(1)
	_ = h.Release(ctx)
}

// history is everything that was written below the prefix, from before the test to its end.
type history struct {
	client *clientv3.Client
	from   int64
}

func follow(t *testing.T, c *clientv3.Client) *history {
	t.Helper()
	resp, err := c.Get(t.Context(), "now")
	if err != nil {
		t.Fatal(err)
	}
	return &history{c, resp.Header.Revision + 1}
}

// check replays the history.
func (h *history) check(t *testing.T) {
	t.Helper()
	end, err := h.client.Put(t.Context(), "/stile/v1/rwlock/end", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	places, lastWriter, newest := map[string]bool{}, int64(0), int64(0)
	for resp := range h.client.Watch(ctx, "/stile/v1/rwlock/", clientv3.WithPrefix(), clientv3.WithRev(h.from)) {
		if err := resp.Err(); err != nil {
			t.Fatal(err)
		}
		for i, ev := range resp.Events {
			name, isPlace := strings.CutPrefix(string(ev.Kv.Key), "/stile/v1/rwlock/x/p/")
			switch {
			case isPlace && ev.Type == clientv3.EventTypeDelete:
				delete(places, name)
			case isPlace:
				if places[name] {
					t.Errorf("revision %d: %s was overwritten while it was held", ev.Kv.ModRevision, name)
				}
				if ev.Kv.ModRevision < newest || name == "w" && ev.Kv.ModRevision <= lastWriter {
					t.Errorf("revision %d: tokens do not rise", ev.Kv.ModRevision)
				}
				newest = max(newest, ev.Kv.ModRevision)
				if places[name] = true; name == "w" {
					lastWriter = ev.Kv.ModRevision
				}
			}
			if last := i == len(resp.Events)-1 || resp.Events[i+1].Kv.ModRevision > ev.Kv.ModRevision; last && places["w"] && len(places) > 1 {
				t.Errorf("revision %d: a writer with others: %v", ev.Kv.ModRevision, fmt.Sprint(places))
			}
			if ev.Kv.ModRevision >= end.Header.Revision {
				return
			}
		}
	}
	t.Error("the history has no end")
}
