package semaphore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// recordOf is the record as docs/layout.md has it.
type recordOf struct {
	Limit    int            `json:"limit"`
	Groups   map[string]int `json:"groups"`
	Holders  []holderOf     `json:"holders"`
	Released []struct {
		ID    string        `json:"id"`
		Token fencing.Token `json:"token"`
	} `json:"released"`
}

type holderOf struct {
	ID     string            `json:"id"`
	Slot   int               `json:"slot"`
	Token  fencing.Token     `json:"token"`
	At     time.Time         `json:"at"`
	Labels map[string]string `json:"labels"`
}

// failer is a test, or a run of rapid's.
type failer interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// durableHistory replays what was written to the record, revision by revision.
type durableHistory struct {
	failer
	now     recordOf
	tokens  map[int]fencing.Token    // the newest of each slot
	granted map[fencing.Token]string // who was granted, and in which slot, by "id slot token"
	written int
}

// replayed checks all that was written to the record since revision from.
func replayed(t failer, c *clientv3.Client, from int64) *durableHistory {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	end, err := c.Put(ctx, durableKey+"'s end", "")
	if err != nil {
		t.Fatalf("%v", err)
	}
	h := &durableHistory{failer: t, tokens: map[int]fencing.Token{}, granted: map[fencing.Token]string{}}
	for resp := range c.Watch(ctx, durableKey, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if err := resp.Err(); err != nil {
			t.Fatalf("%v", err)
		}
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision == end.Header.Revision {
				return h
			}
			if string(ev.Kv.Key) == durableKey {
				h.next(ev)
			}
		}
	}
	t.Fatalf("the history has no end")
	return nil
}

// next is one revision of the record.
func (h *durableHistory) next(ev *clientv3.Event) {
	var r recordOf
	if ev.Type != clientv3.EventTypePut || json.Unmarshal(ev.Kv.Value, &r) != nil {
		h.Fatalf("revision %d: %v %s", ev.Kv.ModRevision, ev.Type, ev.Kv.Value)
	}
	rev := fencing.FromRevision(ev.Kv.ModRevision)
	before := map[string]holderOf{}
	for _, holder := range h.now.Holders {
		before[holder.ID] = holder
	}
	slots := map[int]bool{}
	for i, holder := range r.Holders {
		if holder.Token.IsZero() {
			r.Holders[i].Token, holder.Token = rev, rev
		}
		if slots[holder.Slot] {
			h.Errorf("revision %v: two hold slot %d", rev, holder.Slot)
		}
		slots[holder.Slot] = true
		old, ok := before[holder.ID]
		if ok && old.Token == holder.Token {
			delete(before, holder.ID)
			if old.Slot != holder.Slot || !old.At.Equal(holder.At) || !maps.Equal(old.Labels, holder.Labels) {
				h.Errorf("revision %v: %+v has become %+v", rev, old, holder)
			}
			continue
		}
		h.grants(rev, r, holder)
	}
	for _, gone := range before { // each of them was released, and is remembered
		ok := false
		for _, e := range r.Released {
			ok = ok || e.ID == gone.ID && e.Token == gone.Token
		}
		if !ok {
			h.Errorf("revision %v: %+v is gone, and was not released", rev, gone)
		}
	}
	h.now = r
	h.written++
}

// grants checks what must be so at the revision at which a permit is granted.
func (h *durableHistory) grants(rev fencing.Token, r recordOf, holder holderOf) {
	if holder.Token != rev {
		h.Errorf("revision %v: %+v was granted with another token", rev, holder)
	}
	if len(r.Holders) > r.Limit || holder.Slot < 0 || holder.Slot >= r.Limit {
		h.Errorf("revision %v: %d hold with %+v, the limit is %d", rev, len(r.Holders), holder, r.Limit)
	}
	for label, most := range r.Groups {
		same := 0
		for _, other := range r.Holders {
			if other.Labels[label] == holder.Labels[label] {
				same++
			}
		}
		if same > most {
			h.Errorf("revision %v: %d hold whose %s is %q, the limit is %d", rev, same, label, holder.Labels[label], most)
		}
	}
	if last := h.tokens[holder.Slot]; last.Compare(holder.Token) >= 0 {
		h.Errorf("revision %v: slot %d had the token %v before", rev, holder.Slot, last)
	}
	h.tokens[holder.Slot] = holder.Token
	h.granted[holder.Token] += fmt.Sprintf("%s in %d;", holder.ID, holder.Slot)
}

// TestNeverMoreHoldersThanTheLimitAllows: several clients, each with several goroutines, that acquire, wait, release, remove and resize, while answers are
// lost and etcd is restarted. Checked is what stood in etcd at each revision, and that whoever was told that it holds did.
func TestNeverMoreHoldersThanTheLimitAllows(t *testing.T) {
	t.Parallel()
	server := recipestest.NewServer(t)
	c := server.Client()
	newDurable(t, c, 3, semaphore.Group("rack", 2))
	crowd := &durableCrowd{T: t, did: map[string]int{}}
	var work sync.WaitGroup
	for i := range 3 {
		faults := recipestest.NewFaults(t)
		shared := semaphore.Durable(server.Client(faults), "x")
		for j := range 3 {
			n := uint64(3*i + j)
			w := &durableWorker{durableCrowd: crowd, d: shared, faults: faults, rand: rand.New(rand.NewPCG(n, 11)), id: fmt.Sprint("m", n)}
			work.Go(func() {
				for range 80 {
					w.step()
				}
			})
		}
	}
	for _, steps := range []int{200, 450} {
		soon(t, "half of it is done", func() bool { return crowd.steps() > steps })
		server.Stop()
		server.Start()
	}
	work.Wait()
	h := replayed(t, c, 1)
	t.Logf("%d revisions: %v", h.written, crowd.did)
	for _, what := range []string{"acquired", "waited in vain", "refused", "released", "removed", "resized", "not held", "away or unknown"} {
		if crowd.did[what] == 0 {
			t.Errorf("nothing was %q: the test proves less than it says", what)
		}
	}
	for _, p := range crowd.got {
		if want := fmt.Sprintf("%s in %d;", p.ID, p.Slot); !strings.Contains(h.granted[p.Token], want) {
			t.Errorf("%+v was handed out, and etcd has granted %q", p, h.granted[p.Token])
		}
	}
}

type durableCrowd struct {
	*testing.T
	mu  sync.Mutex
	did map[string]int
	all int
	got []semaphore.DurablePermit
}

func (c *durableCrowd) steps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

type durableWorker struct {
	*durableCrowd
	d      *semaphore.DurableSemaphore
	faults *recipestest.Faults
	rand   *rand.Rand
	id     string
	p      *semaphore.DurablePermit // what it holds, as far as it knows
}

// note says what came of a step.
func (w *durableWorker) note(did string, err error) {
	if errors.Is(err, session.ErrUnavailable) {
		_, _ = w.d.Inspect(context.Background()) // until etcd is back
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, session.ErrUnknownOutcome):
		did = "away or unknown"
	case errors.Is(err, semaphore.ErrHeld):
		did = "refused"
	case errors.Is(err, context.DeadlineExceeded):
		did = "waited in vain"
	case errors.Is(err, semaphore.ErrNotHeld), errors.Is(err, session.ErrLost):
		did = "not held"
	default:
		w.Errorf("%s: %v", did, err)
	}
	w.did[did]++
	w.all++
}

func (w *durableWorker) step() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(20+w.rand.IntN(400))*time.Millisecond)
	defer cancel()
	if w.rand.IntN(6) == 0 {
		w.faults.DropAnswer(1+w.rand.IntN(2), recipestest.Reset)
	}
	n := w.rand.IntN(100)
	switch {
	case n < 6:
		w.note("resized", w.d.SetLimit(ctx, w.rand.IntN(5), semaphore.Group("rack", 1+w.rand.IntN(2))))
	case n < 12:
		w.note("removed", w.d.Remove(ctx, fmt.Sprint("m", w.rand.IntN(9)), "at random"))
	case n < 20:
		w.takes(w.d.Held(ctx, w.id))
	case w.p != nil:
		err := w.d.Release(ctx, w.id, w.p.Token)
		w.note("released", err)
		if err == nil || errors.Is(err, session.ErrLost) || errors.Is(err, semaphore.ErrNotHeld) {
			w.p = nil
		}
	case n < 60:
		w.takes(w.d.TryAcquire(ctx, w.id, w.rack()))
	default:
		w.takes(w.d.Acquire(ctx, w.id, w.rack()))
	}
}

func (w *durableWorker) rack() semaphore.DurableOption {
	return semaphore.Labels(map[string]string{"rack": string("abc"[w.id[1]%3])})
}

func (w *durableWorker) takes(p semaphore.DurablePermit, err error) {
	w.note("acquired", err)
	if err != nil {
		return
	}
	w.p = &p
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, p)
}
