package sim

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/keys"
)

const (
	dataPrefix = "/data/"
	operator   = "operator" // who deletes and revokes what is not theirs
	watchLooks = 100 * time.Millisecond
)

// lineLog is what etcd's revisions say of one lock.
type lineLog struct {
	live     map[int64]*entry // by the revision at which they joined
	byKey    map[string]*entry
	breached map[int64]bool // ended by an operator: its holder learns of it a little later
	token    int64          // of the last who got the lock
	written  int64          // of the last fenced write
}

type entry struct {
	rev int64
	by  string
	key string
}

func (w *world) line(name string) *lineLog {
	l := w.lines[name]
	if l == nil {
		l = &lineLog{live: make(map[int64]*entry), byKey: make(map[string]*entry), breached: make(map[int64]bool)}
		w.lines[name] = l
	}
	return l
}

// head is the live entry that joined first, or nil.
func (l *lineLog) head() (head *entry) {
	for _, e := range l.live {
		if head == nil || e.rev < head.rev {
			head = e
		}
	}
	return head
}

// changed hears of each revision as etcd makes it.
func (w *world) changed(by string, rev int64, events []*mvccpb.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ev := range events {
		w.note("%d by %s: %v %s %.60s", rev, by, ev.Type, ev.Kv.Key, ev.Kv.Value)
		key := string(ev.Kv.Key)
		if name, ok := strings.CutPrefix(key, dataPrefix); ok {
			w.wrote(by, name, string(ev.Kv.Value))
			continue
		}
		name, rest, ok := keys.Split(keys.DefaultRoot, "lock", key)
		if !ok || !strings.HasPrefix(rest, "e/") {
			continue
		}
		l := w.line(name)
		if old := l.byKey[key]; old != nil {
			w.ended(l, old, by)
		}
		if ev.Type == mvccpb.Event_PUT && ev.Kv.Version == 1 {
			e := &entry{rev: rev, by: by, key: key}
			l.live[rev], l.byKey[key] = e, e
			w.tally["join"]++
		}
	}
}

// ended takes the end of a live entry: only its own client ends it, or its lease, or an operator.
func (w *world) ended(l *lineLog, e *entry, by string) {
	delete(l.live, e.rev)
	delete(l.byKey, e.key)
	switch by {
	case operator:
		l.breached[e.rev] = true
	case e.by, "expiry":
	default:
		w.violated("not its own", "%s ended the entry %d of %s", by, e.rev, e.by)
	}
}

// wrote checks a fenced write: its token is the head's, and no earlier writer comes after a later one.
func (w *world) wrote(by, name, value string) {
	l := w.line(name)
	token, err := strconv.ParseInt(value, 10, 64)
	head := l.head()
	switch {
	case err != nil:
		w.violated("broken test", "%q is not a token", value)
	case head == nil || head.rev != token:
		w.violated("out of turn", "%s wrote with token %d, the head is %v", by, token, head)
	case token < l.written:
		w.violated("out of order", "%s wrote with token %d after %d", by, token, l.written)
	}
	l.written = max(l.written, token)
}

// holding is somebody's belief.
type holding struct {
	by    *process
	on    string
	token int64
	since time.Time
	claim fencing.Claim
	ctx   context.Context
}

// believes begins a belief, with everything that must be so at that instant.
func (w *world) believes(ctx context.Context, p *process, on string) *holding {
	claim, token := tokenIn(ctx)
	h := &holding{by: p, on: on, token: token, since: time.Now(), claim: claim, ctx: ctx}
	w.mu.Lock()
	l := w.line(on)
	w.note("%s holds %s with token %d", p.name, on, token)
	if l.breached[token] { // it was deleted before its owner heard that it was at the head, and will hear of both
		w.tally["holds what an operator has deleted"]++
	} else if token <= l.token {
		w.violated("tokens fall", "%s got %s with token %d after %d", p.name, on, token, l.token)
	}
	l.token = max(l.token, token)
	if head := l.head(); head != nil && head.rev < token {
		w.violated("overtaken", "%s got %s with token %d before %d", p.name, on, token, head.rev)
	}
	w.holds = append(w.holds, h)
	w.mu.Unlock()
	w.checkBelief(h)
	return h
}

func (w *world) forget(h *holding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds = slices.DeleteFunc(w.holds, func(o *holding) bool { return o == h })
}

// checkBelief compares everybody's belief, by their own clocks, with the others'. With just, only those who compete with it are asked.
func (w *world) checkBelief(just *holding) {
	w.mu.Lock()
	var running []*holding
	for _, h := range w.holds {
		if !h.by.dead && !h.by.still && !w.line(h.on).breached[h.token] && (just == nil || h.on == just.on) {
			running = append(running, h)
		}
	}
	w.mu.Unlock()
	slices.SortFunc(running, func(a, b *holding) int { return int(a.token - b.token) })
	open := make(map[string]*holding)
	believed := make(map[string]*holding)
	for _, h := range running {
		w.mu.Lock()
		// A context ends when the watchdog looks again; after the pause of a virtual machine etcd is asked first, and may be away: until then there
		// is ErrUncertain, and the context goes on.
		settled := time.Since(h.by.resumed) > watchLooks && h.since.After(h.by.doubts)
		w.mu.Unlock()
		if h.ctx.Err() == nil && settled {
			w.two("two contexts", open[h.on], h)
			open[h.on] = h
		}
		if h.claim.Err() == nil {
			w.two("two believe", believed[h.on], h)
			believed[h.on] = h
		}
	}
}

func (w *world) two(what string, a, b *holding) {
	if a != nil {
		w.isWrong(what, "%s with token %d and %s with token %d, both in %s", a.by.name, a.token, b.by.name, b.token, a.on)
	}
}
