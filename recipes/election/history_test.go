package election_test

import (
	"context"
	"encoding/json"
	"sort"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
)

// history is what etcd's history says of the leadership of x, read by other means than the recipe's.
type history struct {
	client *clientv3.Client
	mu     sync.Mutex
	states []moment
	rev    int64 // of the last event
}

// moment is what was so from one revision on.
type moment struct {
	rev   int64
	id    string // "": nobody leads
	term  int64
	value string
}

// record reads the history of x from revision 1 on, and goes on.
func record(t *testing.T, c *clientv3.Client) *history {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := &history{client: c, states: []moment{{}}}
	changes := c.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(1))
	var reading sync.WaitGroup
	reading.Go(func() {
		for resp := range changes {
			if ctx.Err() == nil && resp.Err() != nil {
				t.Errorf("the history: %v", resp.Err())
			}
			h.take(t, resp.Events)
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	return h
}

func (h *history) take(t *testing.T, events []*clientv3.Event) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range events {
		h.rev = ev.Kv.ModRevision
		now := h.states[len(h.states)-1]
		gone := ev.Type == clientv3.EventTypeDelete
		switch string(ev.Kv.Key) {
		case place:
			var who struct{ ID, Value string }
			if !gone {
				if err := json.Unmarshal(ev.Kv.Value, &who); err != nil || who.ID == "" {
					t.Errorf("in the place stands %q", ev.Kv.Value)
				}
			}
			now = moment{id: who.ID, value: who.Value}
			if !gone {
				now.term = ev.Kv.ModRevision
			}
		case place + "!value":
			if !gone {
				now.value = string(ev.Kv.Value)
			}
		default:
			continue
		}
		if now.rev = ev.Kv.ModRevision; h.states[len(h.states)-1].rev == now.rev {
			h.states[len(h.states)-1] = now // one revision is one change
		} else {
			h.states = append(h.states, now)
		}
	}
}

// await waits until all that has happened so far is recorded.
func (h *history) await(t *testing.T) {
	t.Helper()
	if _, err := h.client.Put(t.Context(), "fence", ""); err != nil {
		t.Fatal(err)
	}
	resp, err := h.client.Delete(t.Context(), "fence")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the history does not come", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.rev >= resp.Header.Revision
	})
}

func (h *history) all() []moment {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]moment(nil), h.states...)
}

// terms fails unless each term had one leader, and they rose, and returns how many there were.
func (h *history) terms(t *testing.T) (n int) {
	t.Helper()
	h.await(t)
	leaders, last := map[int64]string{}, int64(0)
	for _, m := range h.all() {
		if m.id == "" {
			continue
		}
		if m.term < last {
			t.Errorf("term %d came after term %d", m.term, last)
		}
		if last = m.term; leaders[m.term] == "" {
			leaders[m.term] = m.id
		}
		if leaders[m.term] != m.id {
			t.Errorf("term %d had two leaders", m.term)
		}
	}
	return len(leaders)
}

// saw fails unless seen is a part of the history: each was so at its revision, they are in order, and no two in a row are the same. The last is the
// last of the history.
func (h *history) saw(t *testing.T, who string, seen []election.Change) {
	t.Helper()
	h.await(t)
	states := h.all()
	for i, change := range seen {
		at := states[sort.Search(len(states), func(i int) bool { return states[i].rev > change.Revision })-1]
		if !at.is(change) {
			t.Errorf("%s: at revision %d it saw %+v, in truth it was %+v", who, change.Revision, change.Leader, at)
		}
		if i > 0 && (change.Revision <= seen[i-1].Revision || at.is(seen[i-1])) {
			t.Errorf("%s: change %d, %+v, comes after %+v", who, i, change, seen[i-1])
		}
	}
	if len(seen) == 0 {
		t.Errorf("%s: it saw nothing", who)
	}
}

func (m moment) is(c election.Change) bool {
	if c.Leader == nil {
		return m.id == ""
	}
	term, _ := c.Leader.Term.Int64()
	return m.id == c.Leader.ID && m.term == term && m.value == c.Leader.Value
}

// observer is one who observes x.
type observer struct {
	mu   sync.Mutex
	seen []election.Change
	busy chan struct{} // if it isn't nil: to be read from after each change
}

func observe(t *testing.T, c *clientv3.Client) *observer { t.Helper(); return observing(t, c, nil) }

func observing(t *testing.T, c *clientv3.Client, busy chan struct{}) *observer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &observer{busy: busy}
	var going sync.WaitGroup
	going.Go(func() {
		for change, err := range election.Observe(ctx, c, "x") {
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("Observe: %v", err)
				}
				return
			}
			o.mu.Lock()
			o.seen = append(o.seen, change)
			o.mu.Unlock()
			if busy != nil {
				select {
				case <-busy:
				case <-ctx.Done():
				}
			}
		}
	})
	t.Cleanup(func() { cancel(); going.Wait() })
	return o
}

func (o *observer) all() []election.Change {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]election.Change(nil), o.seen...)
}

// last is what it saw last; nil leader if nothing.
func (o *observer) last() election.Change {
	if all := o.all(); len(all) > 0 {
		return all[len(all)-1]
	}
	return election.Change{}
}
