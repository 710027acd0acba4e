package semaphore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// history is everything that was written to the semaphore x, from before the test to its end.
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

// replay is what stood there at one revision, and what was found.
type replay struct {
	limit   int
	spread  *spread
	look    bool
	slots   map[int]holder
	groups  map[string]string // whose the places in groups are
	live    map[string]int64  // the entries, by id: when they joined
	granted map[string]bool
	wrong   []string
}

type spread struct {
	Label string `json:"label"`
	Most  int    `json:"most"`
}

type holder struct {
	ID     string            `json:"id"`
	Labels map[string]string `json:"labels"`
}

// check replays the history.
func (h *history) check(t *testing.T) *replay {
	t.Helper()
	end, err := h.client.Put(t.Context(), below+"end", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := &replay{slots: map[int]holder{}, groups: map[string]string{}, live: map[string]int64{}, granted: map[string]bool{}}
	for resp := range h.client.Watch(ctx, below, clientv3.WithPrefix(), clientv3.WithRev(h.from)) {
		if err := resp.Err(); err != nil {
			t.Fatal(err)
		}
		for len(resp.Events) > 0 {
			rev, n := resp.Events[0].Kv.ModRevision, 0
			for n < len(resp.Events) && resp.Events[n].Kv.ModRevision == rev {
				n++
			}
			r.revision(rev, resp.Events[:n])
			resp.Events = resp.Events[n:]
			if rev >= end.Header.Revision {
				return r
			}
		}
	}
	t.Fatal("the history has no end")
	return nil
}

func (r *replay) bad(rev int64, format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf("revision %d: ", rev)+fmt.Sprintf(format, args...))
}

// revision takes the events of one.
func (r *replay) revision(rev int64, events []*clientv3.Event) {
	came := map[string]holder{}
	before := maps.Clone(r.live)
	for _, ev := range events {
		key := string(ev.Kv.Key[len(below):])
		put := ev.Type == clientv3.EventTypePut
		switch {
		case key == "p/limit" && put:
			r.record(rev, ev.Kv)
		case key == "p/look":
			r.look = put
		case strings.HasPrefix(key, "p/s/"):
			if h := r.slot(rev, key, put, ev.Kv); put {
				came[h.ID] = h
			}
		case strings.HasPrefix(key, "p/g/"):
			r.group(rev, key, put, ev.Kv)
		case strings.HasPrefix(key, "e/"):
			delete(r.live, key[2:])
			if put && ev.Kv.ModRevision == ev.Kv.CreateRevision {
				r.live[key[2:]] = rev
			}
		}
	}
	if len(came) > 1 {
		r.bad(rev, "several were let in by one Txn: %v", came)
	}
	for _, h := range came {
		r.letIn(rev, h, before)
	}
	for i := range r.slots {
		if i >= r.limit && !r.look {
			r.bad(rev, "J: slot %d is taken, the limit is %d, and nobody is told to look", i, r.limit)
		}
	}
	if r.spread != nil && !r.look {
		r.bad(rev, "permits are spread, and nobody is told to look")
	}
}

func (r *replay) record(rev int64, kv *mvccpb.KeyValue) {
	number, rest, _ := strings.Cut(string(kv.Value), " ")
	n, err := strconv.Atoi(number)
	var more struct {
		Spread *spread `json:"spread"`
	}
	if err != nil || json.Unmarshal([]byte(rest), &more) != nil {
		r.bad(rev, "the record is %q", kv.Value)
	}
	r.limit, r.spread = n, more.Spread
}

func (r *replay) slot(rev int64, key string, put bool, kv *mvccpb.KeyValue) (h holder) {
	i, err := strconv.Atoi(key[len("p/s/"):])
	if err != nil {
		r.bad(rev, "key %q", key)
	}
	if !put {
		delete(r.slots, i)
		return h
	}
	if old, taken := r.slots[i]; taken {
		r.bad(rev, "slot %d was overwritten while %v held it", i, old)
	}
	if kv.Lease == 0 || json.Unmarshal(kv.Value, &h) != nil || h.ID == "" {
		r.bad(rev, "slot %d on lease %d is %q", i, kv.Lease, kv.Value)
	}
	if i >= r.limit {
		r.bad(rev, "slot %d was granted, of %d", i, r.limit)
	}
	r.slots[i] = h
	r.granted[grant(i, fmt.Sprint(rev))] = true
	return h
}

func (r *replay) group(rev int64, key string, put bool, kv *mvccpb.KeyValue) {
	if !put {
		delete(r.groups, key)
		return
	}
	if old, taken := r.groups[key]; taken {
		r.bad(rev, "%s was overwritten while %v held it", key, old)
	}
	var h holder
	_ = json.Unmarshal(kv.Value, &h)
	r.groups[key] = h.ID
}

// letIn: h has got permits at this revision. before are those who stood in line until then.
func (r *replay) letIn(rev int64, h holder, before map[string]int64) {
	if n := len(r.slots); n > r.limit {
		r.bad(rev, "S1: %d permits are held, of %d", n, r.limit)
	}
	joined, inLine := before[h.ID]
	for id, other := range before {
		if !inLine || other < joined {
			r.bad(rev, "%s was let in before %s, who came earlier", h.ID, id)
		}
	}
	if r.spread == nil {
		return
	}
	value, same, own, places := h.Labels[r.spread.Label], 0, 0, 0
	for _, other := range r.slots {
		if other.Labels[r.spread.Label] == value {
			same++
		}
		if other.ID == h.ID {
			own++
		}
	}
	for _, id := range r.groups {
		if id == h.ID {
			places++
		}
	}
	if same > r.spread.Most {
		r.bad(rev, "%d permits are held with the same %s, of %d", same, r.spread.Label, r.spread.Most)
	}
	if places != own {
		r.bad(rev, "%s has %d slots and %d places in a group", h.ID, own, places)
	}
}
