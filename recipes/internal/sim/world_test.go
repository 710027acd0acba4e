package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-dev/stile/recipes/internal/fakeetcd"
)

// plan is what a run is made of. The zero values of most are drawn from the seed.
type plan struct {
	seed    uint64
	length  time.Duration // of the time with faults
	nodes   int
	workers int // on each node
	names   int
	ttl     time.Duration
	margin  time.Duration // 0: the default
	rate    func(w *world, node string) float64
	faults  []string      // of the nemesis; nil: all
	every   time.Duration // between two faults, on average
	long    float64       // the share of holds that outlast a lease
	forgets bool          // clocks do not count suspended time
	deaf    bool          // events get lost
	oneTerm bool          // leaders can't be told from each other
	keepLog bool
}

const election = time.Second

// world is one run.
type world struct {
	plan
	start time.Time
	etcd  *fakeetcd.Server
	names []string
	ctx   context.Context // ends with the faults: no new work begins, and who holds something gives it back
	quit  context.CancelFunc
	life  context.Context // ends with the nodes
	kill  context.CancelFunc
	going sync.WaitGroup

	mu        sync.Mutex
	nodes     []*node
	log       []string
	sum       uint64   // of the log but for the last instant
	instant   []string // what is noted at the last instant
	noted     time.Time
	wrong     []string
	tally     map[string]int
	lines     map[string]*lineLog
	holds     []*holding
	calls     map[string]string // what each worker waits for
	pausedTil time.Time         // the server is
	healed    time.Time         // when the faults ended
}

// outcome is what is left of a run.
type outcome struct {
	seed    uint64
	log     []string
	sum     uint64
	wrong   []string
	tally   map[string]int
	virtual time.Duration
}

// run is one run, in a bubble of its own.
func run(t *testing.T, p plan) (out outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(p)
		w.play()
		w.endInstant()
		out = outcome{p.seed, w.log, w.sum, w.wrong, w.tally, time.Since(w.start)}
	})
	return out
}

func newWorld(p plan) *world {
	w := &world{plan: p, start: time.Now(), tally: make(map[string]int), lines: make(map[string]*lineLog), calls: make(map[string]string)}
	w.life, w.kill = context.WithCancel(context.Background())
	w.ctx, w.quit = context.WithCancel(w.life)
	if w.plan.nodes == 0 {
		w.plan.nodes = 2 + w.below(4, "nodes")
	}
	if w.workers == 0 {
		w.workers = 1 + 2*(w.below(3, "workers")/2)
	}
	if w.plan.names == 0 {
		w.plan.names = 1 + w.below(3, "names")
	}
	if w.ttl == 0 {
		w.ttl = time.Duration(5+w.below(11, "ttl")) * time.Second
	}
	if w.rate == nil {
		w.rate = func(w *world, node string) float64 { return 1 + 0.008*(2*w.float("rate", node)-1) }
	}
	if w.long == 0 {
		w.long = 0.05
	}
	if w.every == 0 {
		w.every = time.Duration(2+w.below(20, "every")) * time.Second
	}
	for i := range w.plan.names {
		w.names = append(w.names, string(rune('a'+i)))
	}
	w.etcd = fakeetcd.New(fakeetcd.Options{Election: election, OneTerm: w.oneTerm, Changed: w.changed})
	return w
}

// play is a run from its beginning to its end.
func (w *world) play() {
	for i := range w.plan.nodes {
		n := &node{world: w, name: fmt.Sprintf("n%d", i)}
		w.nodes = append(w.nodes, n)
		w.going.Go(n.live)
	}
	nemesis := make(chan struct{})
	go func() {
		defer close(nemesis)
		w.nemesis()
	}()
	time.Sleep(w.length)
	w.quit()
	<-nemesis
	w.heal()
	w.settle()
	w.etcd.Close()
	synctest.Wait()
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally[what]++
}

// note writes a line of the log. The world's lock is held.
func (w *world) note(format string, args ...any) {
	if now := time.Now(); now != w.noted {
		w.endInstant()
		w.noted = now
	}
	w.instant = append(w.instant, fmt.Sprintf("%16.9f ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

// endInstant puts what was noted in one instant in order: it does not matter who came first.
func (w *world) endInstant() {
	slices.Sort(w.instant)
	for _, line := range w.instant {
		h := fnv.New64a()
		_, _ = h.Write([]byte(line))
		w.sum = mix(w.sum ^ h.Sum64())
	}
	if w.keepLog {
		w.log = append(w.log, w.instant...)
	}
	w.instant = w.instant[:0]
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, args...)
}

// detail is for the story of a seed, but not part of what has to repeat. In an instant it comes before the rest.
func (w *world) detail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now() != w.noted {
		w.endInstant()
		w.noted = time.Now()
	}
	w.log = append(w.log, fmt.Sprintf("%16.9f     ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

// violated notes what must not be. The world's lock is held.
func (w *world) violated(what, format string, args ...any) {
	text := what + ": " + fmt.Sprintf(format, args...)
	w.note("VIOLATION %s", text)
	w.wrong = append(w.wrong, fmt.Sprintf("at %v: %s", time.Since(w.start), text))
}

func (w *world) isWrong(what, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violated(what, format, args...)
}

// paused is for how long the server does not take what is sent to it now.
func (w *world) paused(dir int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if dir == down {
		return 0
	}
	return max(0, time.Until(w.pausedTil))
}

func (o outcome) has(what string) bool {
	for _, wrong := range o.wrong {
		if strings.Contains(wrong, what) {
			return true
		}
	}
	return false
}
