package line

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// record is what etcd's events say about a line.
type record struct {
	keys   map[string]string // what exists, below the prefix
	stands map[string]*stand // all entries that ever were, by id
}

// stand is an entry.
type stand struct {
	id    string
	rev   int64
	lease clientv3.LeaseID
	state string // alive, how it ended, or deleted
	left  bool   // it passed on or, as the last in line, left: what ended it was its own doing
}

const (
	alive   = "live"
	deleted = "deleted"
)

func newRecord() record {
	return record{keys: map[string]string{}, stands: map[string]*stand{}}
}

// alive is how many live entries there are.
func (rec *record) alive() (n int) {
	for _, s := range rec.stands {
		if s.state == alive {
			n++
		}
	}
	return n
}

// leftovers is how many keys there are, without those that make ids void.
func (rec *record) leftovers() (n int) {
	for key := range rec.keys {
		if !strings.HasPrefix(key, "x/") {
			n++
		}
	}
	return n
}

// inFront is the oldest live entry older than rev, or nil.
func (rec *record) inFront(rev int64) (oldest *stand) {
	for _, s := range rec.stands {
		if s.state == alive && s.rev < rev && (oldest == nil || s.rev < oldest.rev) {
			oldest = s
		}
	}
	return oldest
}

// listen takes the events of the line, from its first, until stop.
func (r *run) listen() (stop func()) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
	c := r.stage.control.Watch(ctx, r.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if resp := <-c; !resp.Created {
		cancel()
		r.Fatalf("no watch: %+v", resp)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for resp := range c {
			if err := resp.Err(); err != nil && ctx.Err() == nil {
				r.isWrong("the test is broken", "its watch has ended: %v", err)
			}
			r.takeAll(resp.Events)
		}
	}()
	return func() { cancel(); <-done }
}

// takeAll takes events, one revision after the other.
func (r *run) takeAll(events []*clientv3.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(events) > 0 {
		rev, n := events[0].Kv.ModRevision, 0
		for n < len(events) && events[n].Kv.ModRevision == rev {
			n++
		}
		r.take(rev, events[:n])
		events = events[n:]
	}
}

// take takes what one revision has changed, and looks at what stands there now.
func (r *run) take(rev int64, events []*clientv3.Event) {
	rec := &r.record
	told := make([]string, 0, len(events))
	before := rec.keys["tail"]
	was := map[*stand]string{}
	for _, ev := range events {
		key, value := strings.TrimPrefix(string(ev.Kv.Key), r.prefix), string(ev.Kv.Value)
		delete(rec.keys, key)
		if ev.Type == clientv3.EventTypePut {
			rec.keys[key] = value
		}
		if id, isEntry := strings.CutPrefix(key, "e/"); isEntry {
			s, state := r.write(id, ev)
			was[s] = state
			told = append(told, fmt.Sprintf("%s is %s", short(id), s.state))
		} else {
			told = append(told, fmt.Sprintf("%s = %q", short(key), short(value)))
		}
	}
	r.saying("      rev %d: %s", rev, strings.Join(told, ", "))
	for s, state := range was {
		r.judge(s, state, rec.keys["tail"] != before)
	}
	if n := rec.alive(); n > 0 && rec.keys["tail"] == "" {
		r.wrong("tail was removed while somebody is in line", "%d are", n)
	}
}

// write takes an event of an entry. It returns what the entry was before.
func (r *run) write(id string, ev *clientv3.Event) (s *stand, was string) {
	s = r.record.stands[id]
	if s == nil {
		s = &stand{id: id, rev: ev.Kv.CreateRevision, lease: clientv3.LeaseID(ev.Kv.Lease)}
		r.record.stands[id] = s
	}
	was = s.state
	switch {
	case ev.Type == clientv3.EventTypeDelete:
		s.state = deleted
	case live(ev.Kv):
		s.state, s.rev = alive, ev.Kv.CreateRevision
	default:
		s.state = readMark(ev.Kv).State
	}
	return s, was
}

// judge looks at an entry that was changed, and with it tail or not.
func (r *run) judge(s *stand, was string, withTail bool) {
	s.left = s.left || s.state == passed || s.state == deleted && was == alive && withTail
	tail := r.record.keys["tail"]
	_, void := r.record.keys["x/"+s.id]
	switch {
	case s.state == alive && was != "":
		r.wrong("an id was used twice", "%s was %s", short(s.id), was)
	case s.state == alive && void:
		r.wrong("a join with a void id stands in line", "%s", short(s.id))
	case s.state == alive && tail != s.id:
		r.wrong("tail does not name who joined", "%s joined, tail is %s", short(s.id), short(tail))
	case s.state == deleted && was == alive && !withTail && !r.dead[s.lease]:
		r.wrong("somebody alive was taken out of the line", "%s", short(s.id))
	case s.state != alive && s.state != deleted && was != alive:
		r.wrong("an entry was written after its end", "%s was %s and is %s", short(s.id), was, s.state)
	case s.state == passed:
		if o := r.record.inFront(s.rev); o != nil {
			r.wrong("the head was passed on by another", "%s has passed on while %s was in front", short(s.id), short(o.id))
		}
	}
}

// short is enough of an id for people.
func short(id string) string {
	if kind, rest, ok := strings.Cut(id, "/"); ok {
		return kind + "/" + short(rest)
	}
	return id[:min(4, len(id))]
}
