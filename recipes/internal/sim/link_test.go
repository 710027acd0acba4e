package sim

import (
	"context"
	"sync"
	"time"

	"github.com/stile-dev/stile/recipes/internal/fakeetcd"
)

// link is the network of one incarnation of a node.
type link struct {
	world *world
	name  string

	mu    sync.Mutex
	dead  bool           // the node has crashed
	still bool           // it is suspended: what comes, and what it would send, waits
	cut   [2]bool        // by direction
	slow  time.Duration  // messages take up to that long
	loss  float64        // share of the requests that get lost, or their answers
	late  float64        // share of the requests that come when nobody expects them any more
	deaf  bool           // events get lost: for a control
	held  []held         // until it is whole again
	last  map[lane]int64 // when the last message of a stream arrives
	taken map[int64]bool // instants at which something arrives
}

const (
	up = iota
	down
)

type lane struct {
	stream int64
	dir    int
}

type held struct {
	dir    int
	m      fakeetcd.Message
	arrive func()
}

// Up takes a moment before the message leaves, in which ctx may still end: one that is sent and given up at one instant is not sent.
func (l *link) Up(ctx context.Context, m fakeetcd.Message, arrive func()) {
	if sleep(ctx, time.Microsecond) {
		l.carry(up, m, arrive)
	}
}

func (l *link) Down(m fakeetcd.Message, arrive func()) { l.carry(down, m, arrive) }

var dirs = [...]string{"up", "down"}

func (l *link) carry(dir int, m fakeetcd.Message, arrive func()) {
	w := l.world
	l.mu.Lock()
	defer l.mu.Unlock()
	ordered := m.What == "watch" || m.What == "event"
	switch {
	case l.dead, l.deaf && m.What == "event":
		return
	case l.cut[dir] && !ordered && w.chance(0.5, l.name, dirs[dir], "cut", m.What, m.About):
		return
	case !ordered && w.chance(l.loss, l.name, dirs[dir], "lost", m.What, m.About):
		return
	case l.still || l.cut[dir]:
		l.held = append(l.held, held{dir, m, arrive})
		return
	}
	l.send(dir, m, arrive, ordered)
}

func (l *link) send(dir int, m fakeetcd.Message, arrive func(), ordered bool) {
	w := l.world
	if w.keepLog {
		w.detail("%s %s %s %s", l.name, dirs[dir], m.What, m.About)
	}
	takes := w.between(200*time.Microsecond, 3*time.Millisecond, l.name, dirs[dir], m.What, m.About)
	if l.slow > 0 {
		takes += w.between(0, l.slow, l.name, dirs[dir], "slow", m.What, m.About)
	}
	if !ordered && dir == up && w.chance(l.late, l.name, "late", m.What, m.About) {
		takes += w.between(2*time.Second, 15*time.Second, l.name, "how late", m.What, m.About)
	}
	at := int64(time.Since(w.start) + max(takes, w.paused(dir)+takes))
	if ordered {
		way := lane{m.Stream, dir}
		at = max(at, l.last[way]+1)
		l.last[way] = at
	}
	for l.taken[at] { // what was held is let go at one instant
		at++
	}
	l.taken[at] = true
	time.AfterFunc(time.Duration(at)-time.Since(w.start), func() {
		if l.receives(dir, m, arrive, at) {
			arrive()
		}
	})
}

// receives is false if the receiver is not there, or is suspended: then it gets it later.
func (l *link) receives(dir int, m fakeetcd.Message, arrive func(), at int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.taken, at)
	if dir == down && l.still {
		l.held = append(l.held, held{dir, m, arrive})
		return false
	}
	return dir == up || !l.dead
}

// set changes something, and lets through what may go now.
func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
	if l.still {
		return
	}
	waiting := l.held
	l.held = nil
	for _, h := range waiting {
		if l.cut[h.dir] {
			l.held = append(l.held, h)
			continue
		}
		l.send(h.dir, h.m, h.arrive, h.m.What == "watch" || h.m.What == "event")
	}
}
