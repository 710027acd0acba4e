package line

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/recipestest"
)

const (
	parties  = 4
	patience = 10 * time.Second // whoever waits that long is stuck
)

// stage is what one worker uses for all of its runs.
type stage struct {
	test    *testing.T
	tally   *tally
	control *clientv3.Client // without faults
	clients []*clientv3.Client

	failed   int
	shortest *run // of those that failed
}

func newStage(t *testing.T, all *tally) *stage {
	t.Helper()
	st := &stage{test: t, tally: all, control: recipestest.Namespace(t, t.Name())}
	for range parties {
		c := recipestest.Namespace(t, t.Name())
		c.KV = &faultyKV{KV: c.KV}
		st.clients = append(st.clients, c)
	}
	t.Cleanup(func() {
		if st.shortest != nil {
			t.Logf("the shortest of %d runs that failed:\n%s", st.failed, strings.Join(st.shortest.story, "\n"))
		}
	})
	return st
}

// run is one run, in a line of its own.
type run struct {
	*rapid.T
	stage  *stage
	prefix string
	steady bool // no lease ends and no session is closed: then the line must clean up after itself
	actors []*actor
	ctx    context.Context // of all that goes on
	cancel context.CancelFunc
	going  sync.WaitGroup
	deaf   func()

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew whenever something was said
	waiters  []*waiter
	sessions []*session
	dead     map[clientv3.LeaseID]bool // leases that the test has ended, or is about to
	token    int64                     // of the last head
	record   record
	did      map[string]int
	steps    int
	story    []string
	bad      []string
	over     bool // what goes wrong from now on is the test's own doing
}

// actor is one party: a client that has one session after another.
type actor struct {
	name    string
	client  *clientv3.Client
	faults  *faultyKV
	session *session
	joined  int
}

// session is a session and the leases that it had, of which the last may be alive.
type session struct {
	keeper *keep.Keeper
	line   *Line
	over   bool // Close was called, or is about to be
	leases []*keep.Lease
}

func (st *stage) begin(t *rapid.T, steady bool) *run {
	r := &run{
		T: t, stage: st, prefix: "/" + uuid.NewString()[:8] + "/", steady: steady, changed: make(chan struct{}),
		dead: map[clientv3.LeaseID]bool{}, did: map[string]int{}, record: newRecord(),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.deaf = r.listen()
	for i, c := range st.clients {
		a := &actor{name: string(rune('a' + i)), client: c, faults: c.KV.(*faultyKV)}
		r.actors = append(r.actors, a)
		r.open(a)
	}
	return r
}

// open gives a a new session, with a lease.
func (r *run) open(a *actor) {
	k, err := keep.New(a.client, keep.Defaults())
	if err != nil {
		r.Fatal(err)
	}
	a.session = &session{keeper: k, line: New(k, r.prefix)}
	r.mu.Lock()
	r.sessions = append(r.sessions, a.session)
	r.mu.Unlock()
	lease, err := k.Lease(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	r.mu.Lock()
	a.session.leases = append(a.session.leases, lease)
	r.mu.Unlock()
	r.say("%s opens a session, lease %x", a.name, lease.ID())
}

// say tells what happens, for the reader of a failure and for those who wait for something.
func (r *run) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saying(format, args...)
}

func (r *run) saying(format string, args ...any) {
	r.story = append(r.story, fmt.Sprintf(format, args...))
	close(r.changed)
	r.changed = make(chan struct{})
}

// wrong notes what must not be. what is the same each time that it happens, so that rapid knows it again.
func (r *run) wrong(what, format string, args ...any) {
	if r.over {
		return
	}
	r.bad = append(r.bad, what)
	r.saying("WRONG: %s: %s", what, fmt.Sprintf(format, args...))
}

func (r *run) isWrong(what, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong(what, format, args...)
}

// check ends the run if something was wrong.
func (r *run) check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bad) == 0 {
		return
	}
	st := r.stage
	if st.failed++; st.shortest == nil || r.steps < st.shortest.steps {
		r.over = true
		r.story = append(r.story, fmt.Sprintf("(run %d of all workers, %d operations)", st.tally.number(), r.steps))
		st.shortest = r
	}
	r.Fatalf("%s; the story is at the end of the test", r.bad[0])
}

// until waits for cond, which is asked with mu held, and no longer than a stuck one is given.
func (r *run) until(cond func() bool) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		r.mu.Lock()
		ok, changed := cond(), r.changed
		r.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-limit.C:
			return false
		}
	}
}

// calm stops all faults and lets late copies through. What was not met by a Txn is not counted.
func (r *run) calm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.actors {
		a.faults.mu.Lock()
		for _, f := range a.faults.next {
			if f != noFault {
				r.did[faultNames[f]]--
			}
		}
		a.faults.next = nil
		a.faults.mu.Unlock()
		a.faults.letThrough()
	}
}

// drain passes every head on in turn until nobody is left.
func (r *run) drain() {
	r.say("the end: no more faults, and every head passes on")
	r.calm()
	for {
		var next *waiter
		left := 0
		ok := r.until(func() bool {
			next, left = nil, 0
			for _, w := range r.waiters {
				if w.state != away {
					left++
				}
				if w.state == heading && !w.passing {
					next = w
				}
			}
			return next != nil || left == 0
		})
		switch {
		case !ok:
			r.isWrong("stuck", "none of %v got to the head within %v; %v", r.remaining(), patience, r.dump())
			return
		case left == 0:
			return
		}
		r.tell(next)
	}
}

func (r *run) remaining() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiters {
		if w.state != away {
			names = append(names, w.String())
		}
	}
	return names
}

// lastInLine: once nobody alive is in line TryJoin gets the head, whatever has happened before; and then, if everybody's leases have lasted, no key is
// left but those that make ids void.
func (r *run) lastInLine() {
	if !r.until(func() bool { return r.record.alive() == 0 }) {
		r.isWrong("a ghost stands in line", "%s", r.dump())
		return
	}
	if !r.steady {
		r.deadTail()
	}
	w := r.newWaiter(r.actors[0], true)
	r.start(w)
	at := coming
	if !r.until(func() bool { at = w.state; return at >= heading }) {
		r.isWrong("stuck", "%v, which tries to join an empty line; %s", w, r.dump())
		return
	}
	if at == away {
		r.isWrong("an empty line was not joined", "%s", r.dump())
		return
	}
	r.tell(w)
	r.until(func() bool { return w.state == away })
	if r.steady && !r.until(func() bool { return r.record.leftovers() == 0 }) {
		r.isWrong("marks are left", "%s", r.dump())
	}
}

// deadTail has somebody join, get to the head, and crash.
func (r *run) deadTail() {
	w := r.newWaiter(r.actors[1], false)
	r.start(w)
	r.until(func() bool { return w.state >= heading })
	r.doCrash(drawn{Do: "crash", Who: 1})
	r.until(func() bool { return r.record.alive() == 0 })
	r.tell(w)
	r.until(func() bool { return w.state == away })
}

// close closes all sessions and sweeps once; then nothing is left.
func (r *run) close() {
	r.going.Wait()
	for _, a := range r.actors {
		r.closeSession(a.session)
	}
	r.sweep()
	if left := r.keys(); len(left) > 0 {
		r.isWrong("keys are left", "%q", left)
	}
	if !r.until(func() bool { return len(r.record.keys) == 0 }) {
		r.isWrong("the test is broken", "its watch has missed something: %q", slices.Collect(maps.Keys(r.record.keys)))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiters {
		if s := r.record.stands[w.id]; w.passed && !s.left {
			r.wrong("who was taken out of the line was told that it has passed on", "%v", w)
		}
	}
}

// end ends what a run that failed has left, and counts.
func (r *run) end() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.cancel()
	r.calm()
	r.mu.Lock()
	for _, w := range r.waiters {
		if !w.passing {
			w.passing = true
			close(w.told)
		}
	}
	r.mu.Unlock()
	r.going.Wait()
	for _, a := range r.actors {
		r.closeSession(a.session)
	}
	r.deaf()
	r.stage.tally.add(r.did)
}
