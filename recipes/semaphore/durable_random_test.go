package semaphore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestDurableAsItsModel: whatever is done, by whichever process, and whatever answers are lost or requests arrive late, a durable semaphore is what its
// model is after each step, and was in order at each revision. Which way it went is printed; -rapid.checks=500 does more of it.
func TestDurableAsItsModel(t *testing.T) {
	t.Parallel()
	fewer := flag.Lookup("rapid.checks")
	if fewer.Value.String() == fewer.DefValue {
		_ = flag.Set("rapid.checks", "40")
		t.Cleanup(func() { _ = flag.Set("rapid.checks", fewer.DefValue) })
	}
	did, runs := map[string]int{}, 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		newDurableModel(t, rt, did).play()
	})
	t.Logf("%d runs: %v", runs, did)
	for _, what := range []string{
		"acquired", "had it already", "refused", "refused by its group", "condition", "waited", "released", "released again", "released what never was",
		"removed", "removed nobody", "resized", "held", "not held", "restarted", "lost an answer", "held a request back", "a late request arrived", "together",
	} {
		if did[what] == 0 {
			t.Errorf("nothing was %q in %d runs", what, runs)
		}
	}
}

// durableModel is what a durable semaphore is to be.
type durableModel struct {
	*rapid.T
	client    *clientv3.Client // nothing of its is lost
	from      int64
	look      *semaphore.DurableSemaphore
	processes []*durableProcess
	did       map[string]int

	limit, most int // most holders of a rack; 0: any number
	holders     map[string]semaphore.DurablePermit
	ended       map[string][]fencing.Token // by id
	removed     map[fencing.Token]bool
}

type durableProcess struct {
	client *clientv3.Client
	faults *recipestest.Faults
	d      *semaphore.DurableSemaphore
	late   []*recipestest.Late
}

var durableParts atomic.Int64

func newDurableModel(t *testing.T, rt *rapid.T, did map[string]int) *durableModel {
	t.Helper()
	part := fmt.Sprint(t.Name(), durableParts.Add(1))
	m := &durableModel{
		T: rt, did: did, client: recipestest.Namespace(t, part), limit: 3, most: 1,
		holders: map[string]semaphore.DurablePermit{}, ended: map[string][]fencing.Token{}, removed: map[fencing.Token]bool{},
	}
	resp, err := m.client.Get(context.Background(), "now")
	if err != nil {
		t.Fatal(err)
	}
	m.from = resp.Header.Revision + 1
	m.look = semaphore.Durable(m.client, "x")
	if err := m.look.SetLimit(context.Background(), m.limit, semaphore.Group("rack", m.most)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p := &durableProcess{faults: recipestest.NewFaults(t)}
		p.client = recipestest.Namespace(t, part, p.faults)
		p.d = semaphore.Durable(p.client, "x")
		m.processes = append(m.processes, p)
	}
	return m
}

func (m *durableModel) play() {
	m.Repeat(map[string]func(*rapid.T){
		"acquire": m.acquire, "acquire ": m.acquire, "if": m.condition, "wait": m.wait, "release": m.release, "release again": m.releaseAgain, "remove": m.remove,
		"resize": m.resize, "held": m.held, "restart": m.restart, "lose": m.lose, "hold back": m.holdBack, "arrive": m.arrive, "together": m.together, "together ": m.together,
		"": m.check,
	})
	for _, p := range m.processes {
		for _, l := range p.late {
			_ = l.LetThrough()
		}
	}
	m.check(m.T)
	replayed(m, m.client, m.from)
}

// check compares what stands in etcd.
func (m *durableModel) check(*rapid.T) {
	s, err := m.look.Inspect(context.Background())
	if err != nil {
		m.Fatalf("%v", err)
	}
	if s.Limit != m.limit || s.Groups["rack"] != m.most || len(s.Holders) != len(m.holders) {
		m.Fatalf("%+v, want the limit %d, %d a rack, and %v", s, m.limit, m.most, m.holders)
	}
	for _, h := range s.Holders {
		if want := m.holders[h.ID]; h.Token != want.Token || h.Slot != want.Slot || !maps.Equal(h.Labels, want.Labels) {
			m.Fatalf("%+v holds, want %+v", h, want)
		}
	}
}

func (m *durableModel) process() *durableProcess {
	return rapid.SampledFrom(m.processes).Draw(m.T, "process")
}
func (m *durableModel) id() string { return fmt.Sprint("m", rapid.IntRange(0, 4).Draw(m.T, "id")) }

// acquirer is who asks: its rack is part of its name.
func (m *durableModel) acquirer() (id string, labels map[string]string, opt semaphore.DurableOption) {
	id = m.id()
	labels = map[string]string{"rack": string("ab"[id[1]%2])}
	return id, labels, semaphore.Labels(labels)
}

func (m *durableModel) room(labels map[string]string) string {
	same := 0
	for _, h := range m.holders {
		if h.Labels["rack"] == labels["rack"] {
			same++
		}
	}
	switch {
	case len(m.holders) >= m.limit:
		return "refused"
	case m.most > 0 && same >= m.most:
		return "refused by its group"
	}
	return ""
}

// granted notes a permit that somebody was given.
func (m *durableModel) granted(p semaphore.DurablePermit, err error, id string, labels map[string]string) {
	slot := 0
	for slices.ContainsFunc(slices.Collect(maps.Values(m.holders)), func(h semaphore.DurablePermit) bool { return h.Slot == slot }) {
		slot++
	}
	if err != nil || p.ID != id || p.Slot != slot || !maps.Equal(p.Labels, labels) {
		m.Fatalf("acquire = %+v, %v, want slot %d", p, err, slot)
	}
	m.holders[id] = p
}

func (m *durableModel) acquire(*rapid.T) {
	id, labels, opt := m.acquirer()
	p, err := m.process().d.TryAcquire(context.Background(), id, opt)
	h, held := m.holders[id]
	full, _ := errors.AsType[*semaphore.DurableFullError](err)
	switch why := m.room(labels); {
	case held:
		if err != nil || p.Token != h.Token {
			m.Fatalf("TryAcquire = %+v, %v, want %+v", p, err, h)
		}
		m.did["had it already"]++
	case why != "":
		if full == nil || (full.Label != "") != (why == "refused by its group") {
			m.Fatalf("TryAcquire = %+v, %v, want it %s", p, err, why)
		}
		m.did[why]++
	default:
		m.granted(p, err, id, labels)
		m.did["acquired"]++
	}
}

// condition acquires with one that does not hold.
func (m *durableModel) condition(*rapid.T) {
	id, labels, opt := m.acquirer()
	if _, held := m.holders[id]; held || m.room(labels) != "" {
		return
	}
	never := clientv3.Compare(clientv3.CreateRevision("never"), ">", 0)
	_, err := m.process().d.Acquire(context.Background(), id, opt, semaphore.If(never), semaphore.Then(clientv3.OpPut("done", "")))
	if !errors.Is(err, semaphore.ErrCondition) {
		m.Fatalf("Acquire = %v, want ErrCondition", err)
	}
	m.did["condition"]++
}

// wait has somebody wait, and then makes room.
func (m *durableModel) wait(*rapid.T) {
	id, labels, opt := m.acquirer()
	if _, held := m.holders[id]; held || m.room(labels) == "" || len(m.holders) > m.limit {
		return
	}
	first := m.anybody(func(h semaphore.DurablePermit) bool {
		return m.limit > 0 && (m.room(labels) == "refused" && m.most == 0 || h.Labels["rack"] == labels["rack"])
	})
	if first == nil {
		return
	}
	p := m.process()
	type got struct {
		p   semaphore.DurablePermit
		err error
	}
	c := make(chan got, 1)
	go func() {
		p, err := p.d.Acquire(context.Background(), id, opt)
		c <- got{p, err}
	}()
	m.releases(m.look, *first)
	if m.room(labels) != "" { // the group was not the only reason
		m.resizes(m.look, m.limit+1, 0)
	}
	select {
	case g := <-c:
		m.granted(g.p, g.err, id, labels)
		m.did["waited"]++
	case <-time.After(time.Minute):
		m.Fatalf("%s waits, and there is room", id)
	}
}

// anybody is a holder of whom something is so.
func (m *durableModel) anybody(so func(h semaphore.DurablePermit) bool) *semaphore.DurablePermit {
	for _, id := range slices.Sorted(maps.Keys(m.holders)) {
		if h := m.holders[id]; so(h) {
			return &h
		}
	}
	return nil
}

func (m *durableModel) releases(d *semaphore.DurableSemaphore, h semaphore.DurablePermit) {
	if err := d.Release(context.Background(), h.ID, h.Token); err != nil {
		m.Fatalf("Release = %v", err)
	}
	m.ends(h)
}

func (m *durableModel) ends(h semaphore.DurablePermit) {
	delete(m.holders, h.ID)
	m.ended[h.ID] = append(m.ended[h.ID], h.Token)
}

func (m *durableModel) release(*rapid.T) {
	if len(m.holders) == 0 {
		return
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.holders))).Draw(m.T, "holder")
	m.releases(m.process().d, m.holders[id])
	m.did["released"]++
}

// releaseAgain releases what has ended, or never was.
func (m *durableModel) releaseAgain(*rapid.T) {
	id, d := m.id(), m.process().d
	if len(m.ended[id]) == 0 {
		if err := d.Release(context.Background(), id, fencing.FromRevision(1)); !errors.Is(err, semaphore.ErrNotHeld) {
			m.Fatalf("Release of what never was = %v, want ErrNotHeld", err)
		}
		m.did["released what never was"]++
		return
	}
	token := rapid.SampledFrom(m.ended[id]).Draw(m.T, "token")
	err := d.Release(context.Background(), id, token)
	if m.removed[token] != errors.Is(err, session.ErrLost) || !m.removed[token] && err != nil {
		m.Fatalf("Release of what has ended = %v; by an operator: %v", err, m.removed[token])
	}
	m.did["released again"]++
}

func (m *durableModel) remove(*rapid.T) {
	id := m.id()
	err := m.process().d.Remove(context.Background(), id, "at random")
	h, held := m.holders[id]
	if held != (err == nil) || !held && !errors.Is(err, semaphore.ErrNotHeld) {
		m.Fatalf("Remove = %v; held: %v", err, held)
	}
	if !held {
		m.did["removed nobody"]++
		return
	}
	m.ends(h)
	m.removed[h.Token] = true
	m.did["removed"]++
}

func (m *durableModel) resize(*rapid.T) {
	m.resizes(m.process().d, rapid.IntRange(0, 4).Draw(m.T, "limit"), rapid.IntRange(0, 2).Draw(m.T, "a rack"))
	m.did["resized"]++
}

func (m *durableModel) resizes(d *semaphore.DurableSemaphore, limit, most int) {
	var opts []semaphore.DurableOption
	if most > 0 {
		opts = append(opts, semaphore.Group("rack", most))
	}
	if err := d.SetLimit(context.Background(), limit, opts...); err != nil {
		m.Fatalf("SetLimit = %v", err)
	}
	m.limit, m.most = limit, most
}

func (m *durableModel) held(*rapid.T) {
	id := m.id()
	p, err := m.process().d.Held(context.Background(), id)
	h, held := m.holders[id]
	switch {
	case held && (err != nil || p.Token != h.Token), !held && !errors.Is(err, semaphore.ErrNotHeld):
		m.Fatalf("Held = %+v, %v, want %+v", p, err, h)
	case held:
		m.did["held"]++
	default:
		m.did["not held"]++
	}
}

func (m *durableModel) restart(*rapid.T) {
	p := m.process()
	p.d = semaphore.Durable(p.client, "x")
	m.did["restarted"]++
}

func (m *durableModel) lose(*rapid.T) {
	m.process().faults.DropAnswer(rapid.IntRange(1, 2).Draw(m.T, "n"), recipestest.Reset)
	m.did["lost an answer"]++
}

func (m *durableModel) holdBack(*rapid.T) {
	p := m.process()
	p.late = append(p.late, p.faults.LateRequest(rapid.IntRange(1, 2).Draw(m.T, "n"), recipestest.Reset))
	m.did["held a request back"]++
}

func (m *durableModel) arrive(*rapid.T) {
	for _, l := range m.process().late {
		select {
		case <-l.Held():
			_ = l.LetThrough()
			m.did["a late request arrived"]++
		default:
		}
	}
}

// together has all processes ask at the same time, each for another. How many get a permit is known, and who is for them to say.
func (m *durableModel) together(*rapid.T) {
	if m.most > 0 || m.limit < len(m.holders) {
		return
	}
	room := m.limit - len(m.holders)
	var asking sync.WaitGroup
	var mu sync.Mutex
	got := map[string]semaphore.DurablePermit{}
	for i, p := range m.processes {
		for j := range 2 {
			id := fmt.Sprintf("t%d%d", i, j)
			asking.Go(func() {
				p, err := p.d.TryAcquire(context.Background(), id)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					got[id] = p
				} else if !errors.Is(err, semaphore.ErrHeld) {
					m.Errorf("TryAcquire = %v", err)
				}
			})
		}
	}
	asking.Wait()
	if want := min(room, 6); len(got) != want {
		m.Fatalf("%d of 6 got a permit, and there was room for %d", len(got), want)
	}
	maps.Copy(m.holders, got)
	m.check(m.T)
	for _, id := range slices.Sorted(maps.Keys(got)) {
		m.releases(m.look, got[id])
	}
	m.did["together"]++
}
