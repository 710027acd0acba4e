package semaphore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

const (
	runsDrawn  = 24 // but for -rapid.checks
	actors     = 5
	steps      = 14 // of each actor
	mostSlots  = 5
	patience   = 60 * time.Millisecond // of one who waits: the limit may be 0 until others come to it
	enoughRuns = 10                    // after which everything must have happened
)

// did are all that may happen.
var did = []string{
	"acquired", "several at once", "kept", "tried", "refused", "given up", "raised", "lowered", "closed", "too many", "lease revoked", "answer lost", "late copy", "spread", "unspread",
}

// TestNeverMorePermitsThanTheLimit (S1): acquisitions of one and of several, tries, waits that are given up, resizes, spreads, leases that are revoked, lost
// answers and late copies, at random. What is checked is etcd's history, revision by revision; who believes to have which slot; and that in the end
// all permits are free. More runs: -rapid.checks=1000.
func TestNeverMorePermitsThanTheLimit(t *testing.T) {
	t.Parallel()
	if _, told := os.LookupEnv("RAPID_CHECKS"); !told && flag.Lookup("rapid.checks").Value.String() == "100" {
		_ = flag.Set("rapid.checks", fmt.Sprint(runsDrawn))
		defer func() { _ = flag.Set("rapid.checks", "100") }()
	}
	all := &tally{n: map[string]int{}}
	count := 0
	rapid.Check(t, func(rt *rapid.T) {
		st := newStage(t, all)
		scripts := make([][]step, actors)
		for i := range scripts {
			scripts[i] = rapid.SliceOfN(drawStep, steps, steps).Draw(rt, fmt.Sprint("actor ", i))
		}
		st.play(scripts)
		if wrong := st.end(); len(wrong) > 0 {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
		count++
	})
	t.Logf("%d runs: %v", count, all)
	for _, what := range did {
		if count >= enoughRuns && all.n[what] == 0 {
			t.Errorf("nothing was %s: the test proves less than it says", what)
		}
	}
}

type step struct{ what, n, k int }

var drawStep = rapid.Custom(func(t *rapid.T) step {
	return step{rapid.IntRange(0, 99).Draw(t, "what"), rapid.IntRange(1, 3).Draw(t, "n"), rapid.IntRange(0, mostSlots).Draw(t, "k")}
})

type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *tally) add(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n[what]++
}

func (a *tally) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(a.n)) {
		fmt.Fprintf(&b, "%d %s, ", a.n[what], what)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// stage is one run.
type stage struct {
	*testing.T
	client  *clientv3.Client
	prefix  string
	history *history
	tally   *tally
	owner   [mostSlots]atomic.Int64 // who believes to have each slot
	granted sync.Map                // what was granted, slot and token

	mu    sync.Mutex
	wrong []string
}

func newStage(t *testing.T, all *tally) *stage {
	t.Helper()
	p := prefix(t)
	c := recipestest.Namespace(t, p)
	st := &stage{T: t, client: c, prefix: p, history: follow(t, c), tally: all}
	limit(t, c, 3)
	return st
}

func (st *stage) bad(format string, args ...any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.wrong = append(st.wrong, fmt.Sprintf(format, args...))
}

func (st *stage) play(scripts [][]step) {
	var all sync.WaitGroup
	for i, script := range scripts {
		faults := recipestest.NewFaults(st.T)
		c := recipestest.Namespace(st.T, st.prefix, faults)
		rack := []string{"a", "b"}[i%2]
		s, err := session.Open(context.Background(), c, in(rack))
		if err != nil {
			st.Fatal(err)
		}
		a := &actor{stage: st, id: int64(i + 1), client: c, session: s, faults: faults, rack: rack}
		all.Go(func() {
			for _, step := range script {
				a.step(step)
			}
			a.leave()
		})
	}
	all.Wait()
}

// end: all permits are free, and history shows nothing that must not be.
func (st *stage) end() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := semaphore.SetLimit(ctx, st.client, "x", mostSlots, semaphore.NoSpread()); err != nil {
		st.bad("SetLimit = %v", err)
	}
	err := errors.New("no session")
	if s, openErr := session.Open(ctx, st.client); openErr == nil {
		err = semaphore.Do(ctx, s, "x", mostSlots, func(context.Context) error { return nil })
		_ = s.Close(ctx)
	}
	if err != nil {
		st.bad("all permits, in the end: %v; %+v", err, inspect(st.T, st.client))
	}
	h := st.history.check(st.T)
	st.granted.Range(func(grant, _ any) bool {
		if !h.granted[grant.(string)] {
			st.bad("a permit that history does not know: %v", grant)
		}
		return true
	})
	return append(st.wrong, h.wrong...)
}

// actor is one session that does what its script says.
type actor struct {
	*stage
	id      int64
	client  *clientv3.Client
	session *session.Session
	faults  *recipestest.Faults
	rack    string
	kept    []*semaphore.Permit
	late    []*recipestest.Late
}

func (a *actor) step(s step) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch {
	case s.what < 26:
		a.drop(a.got(semaphore.Acquire(ctx, a.session, "x", s.n)))
	case s.what < 36:
		a.keep(a.got(semaphore.Acquire(ctx, a.session, "x", s.n)))
	case s.what < 46:
		a.tally.add("tried")
		a.drop(a.got(semaphore.TryAcquire(ctx, a.session, "x", s.n)))
	case s.what < 54:
		brief, cancel := context.WithTimeout(ctx, time.Duration(s.k)*time.Millisecond)
		defer cancel()
		a.drop(a.got(semaphore.Acquire(brief, a.session, "x", s.n)))
	case s.what < 70:
		a.resize(ctx, s)
	case s.what < 80:
		a.crash(ctx, s.n)
	case s.what < 90:
		a.faults.DropAnswer(1+s.k%3, recipestest.Reset)
		a.tally.add("answer lost")
	case s.what < 97:
		a.late = append(a.late, a.faults.LateRequest(1+s.k%3, recipestest.Reset))
	default:
		a.arrive()
	}
	if len(a.kept) > 1 {
		a.drop(a.kept[0])
		a.kept = a.kept[1:]
	}
}

// arrive has arrive what was held back.
func (a *actor) arrive() {
	for _, late := range a.late {
		select {
		case <-late.Held():
			_ = late.LetThrough() // etcd may refuse it
			a.tally.add("late copy")
		default:
		}
	}
	a.late = nil
}

func (a *actor) leave() {
	for _, p := range a.kept {
		a.drop(p)
	}
	if err := a.session.Close(context.Background()); err != nil {
		a.bad("Close = %v", err)
	}
	a.faults.Calm()
	a.arrive()
}

// got notes what an acquisition has returned; nil is nothing.
func (a *actor) got(p *semaphore.Permit, err error) *semaphore.Permit {
	_, tooMany := errors.AsType[*semaphore.LimitError](err)
	switch {
	case tooMany:
		a.tally.add("too many")
	case errors.Is(err, semaphore.ErrHeld):
		a.tally.add("refused")
	case errors.Is(err, context.DeadlineExceeded):
		a.tally.add("given up")
	case errors.Is(err, session.ErrLost):
	case err != nil:
		a.bad("actor %d: %v", a.id, err)
	}
	if err != nil {
		return nil
	}
	a.tally.add("acquired")
	if len(p.Slots()) > 1 {
		a.tally.add("several at once")
	}
	for i, slot := range p.Slots() {
		a.granted.Store(grant(slot, p.Claims()[i].Token.String()), true)
		if p.Err() == nil && !a.owner[slot].CompareAndSwap(0, a.id) {
			a.bad("actor %d believes to have slot %d, as %d does", a.id, slot, a.owner[slot].Load())
		}
	}
	return p
}

func grant(slot int, token string) string { return fmt.Sprintf("slot %d, token %s", slot, token) }

func (a *actor) keep(p *semaphore.Permit) {
	if p != nil {
		a.tally.add("kept")
		a.kept = append(a.kept, p)
	}
}

// drop stops believing, and then gives back.
func (a *actor) drop(p *semaphore.Permit) {
	if p == nil {
		return
	}
	a.disbelieve(p)
	if err := p.Release(context.Background()); err != nil && !errors.Is(err, session.ErrLost) {
		a.bad("actor %d: Release = %v", a.id, err)
	}
}

func (a *actor) disbelieve(p *semaphore.Permit) {
	for _, slot := range p.Slots() {
		a.owner[slot].CompareAndSwap(a.id, 0)
	}
}

func (a *actor) resize(ctx context.Context, s step) {
	var opts []semaphore.ClientOption
	what := "closed"
	switch {
	case s.what >= 65 && s.what < 68:
		opts, what = append(opts, semaphore.Spread("rack", s.n)), "spread"
	case s.what >= 68:
		opts, what = append(opts, semaphore.NoSpread()), "unspread"
	case s.k >= 3:
		what = "raised"
	case s.k > 0:
		what = "lowered"
	}
	err := semaphore.SetLimit(ctx, a.client, "x", s.k, opts...)
	switch {
	case err == nil:
		a.tally.add(what)
	case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, session.ErrUnknownOutcome):
		a.bad("actor %d: SetLimit = %v", a.id, err)
	}
}

// crash ends the lease of one that holds, as its death does.
func (a *actor) crash(ctx context.Context, n int) {
	s, err := session.Open(context.Background(), a.stage.client, in(a.rack), session.NoRejoin())
	if err != nil {
		a.bad("%v", err)
		return
	}
	defer s.Close(context.Background())
	p := a.got(semaphore.Acquire(ctx, s, "x", n))
	if p == nil {
		return
	}
	a.disbelieve(p)
	recipestest.RevokeLeaseOf(a.T, a.stage.client, p.Claims()[0].Key)
	a.tally.add("lease revoked")
}
