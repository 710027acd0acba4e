package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// A tap hears every event of etcd's from the first revision on, writes it down, and knows who holds what.
type tap struct {
	admin *Admin
	place func(key string) (name string, ok bool)
	queue Queued // nil: those who wait stand in one row with who holds
	out   *history.Writer
	done  chan struct{}

	mu     sync.Mutex
	rev    int64
	moved  chan struct{} // closed, and made anew, when rev rises
	places map[string][]place
	events int
	err    error
}

// A place is what somebody holds, or waits in.
type place struct {
	name, key string
	create    int64
	lease     int64
	client    int // -1: not told
}

func startTap(ctx context.Context, admin *Admin, out *history.Writer, w Workload) *tap {
	t := &tap{
		admin: admin, place: w.Place, out: out, done: make(chan struct{}),
		moved: make(chan struct{}), places: map[string][]place{},
	}
	t.queue, _ = w.(Queued)
	go func() {
		defer close(t.done)
		t.run(ctx)
	}()
	return t
}

// run watches, and watches again from where it was.
func (t *tap) run(ctx context.Context) {
	for ctx.Err() == nil {
		w := t.admin.etcd.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(t.seen()+1))
		for resp := range w {
			if errors.Is(resp.Err(), rpctypes.ErrCompacted) {
				t.mu.Lock()
				t.err = fmt.Errorf("the tap missed events after revision %d: %w", t.rev, resp.Err())
				t.mu.Unlock()
				return
			}
			t.take(resp.Events)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

func (t *tap) seen() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rev
}

func (t *tap) take(events []*clientv3.Event) {
	at := history.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range events {
		ev := history.Event{
			Rev: e.Kv.ModRevision, Key: string(e.Kv.Key), Create: e.Kv.CreateRevision, Lease: e.Kv.Lease,
			Delete: e.Type == clientv3.EventTypeDelete, Value: string(e.Kv.Value), Seen: at,
		}
		t.events++
		t.out.Write(history.Record{Event: &ev})
		t.move(ev)
		t.rev = ev.Rev
	}
	close(t.moved)
	t.moved = make(chan struct{})
}

func (t *tap) move(e history.Event) {
	name, ok := t.place(e.Key)
	if !ok {
		return
	}
	t.places[name] = slices.DeleteFunc(t.places[name], func(p place) bool { return p.key == e.Key })
	if e.Live() || t.queue != nil && !e.Delete && t.queue.Handed(e.Key) {
		all, p := t.places[name], place{name, e.Key, e.Create, e.Lease, clientOf(e.Value)}
		at := len(all)
		if t.queue != nil && !t.queue.Waits(e.Key) {
			at = t.holders(all)
		}
		t.places[name] = slices.Insert(all, at, p)
	}
	if len(t.places[name]) == 0 {
		delete(t.places, name)
	}
}

// holders is how many of all don't wait. They come first.
func (t *tap) holders(all []place) int {
	if n := slices.IndexFunc(all, func(p place) bool { return t.queue.Waits(p.key) }); n >= 0 {
		return n
	}
	return len(all)
}

// clientOf reads whose entry it is from the labels that clients give their sessions.
func clientOf(value string) int {
	var v struct{ Labels map[string]string }
	if json.Unmarshal([]byte(value), &v) != nil {
		return -1
	}
	n, err := strconv.Atoi(v.Labels["client"])
	if err != nil {
		return -1
	}
	return n
}

// holder is somebody who holds a lock, rather one that others wait for, and one of those, or the same; ok is false if nobody holds any.
func (t *tap) holder(r *rand.Rand) (p place, waiter place, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	most := 0
	for name, ps := range t.places {
		names = append(names, name)
		most = max(most, len(ps))
	}
	if most > 1 && r.IntN(4) > 0 {
		names = slices.DeleteFunc(names, func(name string) bool { return len(t.places[name]) < 2 })
	}
	if len(names) == 0 {
		return place{}, place{}, false
	}
	slices.Sort(names)
	ps := t.places[pick(r, names...)]
	return ps[0], pick(r, ps[min(1, len(ps)-1):]...), true
}

// heldBy is the keys of all that client holds.
func (t *tap) heldBy(client int) (keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ps := range t.places {
		if ps[0].client == client {
			keys = append(keys, ps[0].key)
		}
	}
	return keys
}

// reach waits until everything up to rev was heard.
func (t *tap) reach(ctx context.Context, rev int64) error {
	for {
		t.mu.Lock()
		seen, moved, err := t.rev, t.moved, t.err
		t.mu.Unlock()
		if err != nil {
			return err
		}
		if seen >= rev {
			return nil
		}
		select {
		case <-moved:
		case <-t.done:
		case <-ctx.Done():
			return fmt.Errorf("the tap is at revision %d, not at %d: %w", seen, rev, context.Cause(ctx))
		}
	}
}
