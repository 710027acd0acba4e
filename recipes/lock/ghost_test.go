package lock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// A mishap is what happens to the n-th request. Afterwards it tells whether there was one, having let it through if it was held back.
type mishap func(f *recipestest.Faults, n int) (after func() bool)

var mishaps = map[string]mishap{
	"answer lost":             answerLost(recipestest.Reset),
	"answer swallowed":        answerLost(recipestest.Silence),
	"late after a reset":      late(recipestest.Reset),
	"late after a long pause": late(recipestest.Silence),
}

func answerLost(s recipestest.Symptom) mishap {
	return func(f *recipestest.Faults, n int) func() bool {
		lost := f.DropAnswer(n, s)
		return func() bool { return over(lost.Answered()) }
	}
}

func late(s recipestest.Symptom) mishap {
	return func(f *recipestest.Faults, n int) func() bool {
		late := f.LateRequest(n, s)
		return func() bool {
			if !over(late.Held()) {
				return false
			}
			_ = late.LetThrough() // etcd may refuse it by now
			return true
		}
	}
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestAnAcquireCutOffLeavesNoGhost: whichever of its requests has no answer or arrives late, whoever gave up does not get the lock
// later, and stands in nobody's way.
func TestAnAcquireCutOffLeavesNoGhost(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	reached := map[string]int{} // how many requests were lost
	cases := map[string]func(t *testing.T){}
	for what, try := range tries {
		for how, happens := range mishaps {
			for n := 1; n <= 5; n++ { // more than there are
				cases[fmt.Sprintf("%s, request %d, %s", what, n, how)] = func(t *testing.T) { //nolint:thelper // the body of a subtest
					if try.astray(t, n, happens) {
						mu.Lock()
						defer mu.Unlock()
						reached[what]++
					}
				}
			}
		}
	}
	each(t, cases, func(t *testing.T, run func(*testing.T)) { run(t) }) //nolint:thelper // the body of a subtest
	for what := range tries {
		if n := reached[what]; n < len(mishaps) { // each can lose its first, whatever the machine has to do
			t.Errorf("%s: %d requests were lost, want %d at least", what, n, len(mishaps))
		}
	}
}

// A try is a way to acquire.
type try struct {
	acquire func(ctx context.Context, s *session.Session, name string, _ ...lock.Option) (*lock.Held, error)
	held    bool
}

var tries = map[string]try{
	"Acquire":                  {lock.Acquire, false},
	"Acquire of a held one":    {lock.Acquire, true},
	"TryAcquire":               {lock.TryAcquire, false},
	"TryAcquire of a held one": {lock.TryAcquire, true},
}

// astray tries, and something happens to the n-th request. It is false if there was none.
func (a try) astray(t *testing.T, n int, happens mishap) bool {
	t.Helper()
	p := newCutOff(t)
	var held *lock.Held
	if a.held {
		held = acquire(t, p.rival, "x")
	}
	after := happens(p.faults, n)
	a.once(t, p)
	if a.held {
		release(t, held)
	}
	p.isFree(t)
	reached := after()
	for !reached && !after() {
		p.burn(t)
	}
	p.isFree(t)
	p.leavesNothing(t)
	return reached
}

// once acquires within a moment. What is acquired is released.
func (a try) once(t *testing.T, p *cutOffParty) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	got, err := a.acquire(ctx, p.s, "x")
	switch {
	case err == nil && a.held:
		t.Error("two have the lock")
	case err == nil:
		release(t, got)
	case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, lock.ErrHeld):
		t.Errorf("acquiring: %v", err)
	}
}

// cutOffParty is somebody whose requests go astray, and somebody else.
type cutOffParty struct {
	faults        *recipestest.Faults
	client, other *clientv3.Client
	s, rival      *session.Session
}

func newCutOff(t *testing.T) *cutOffParty {
	t.Helper()
	p := &cutOffParty{faults: recipestest.NewFaults(t)}
	prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
	p.client, p.other = recipestest.Namespace(t, prefix, p.faults), recipestest.Namespace(t, prefix)
	p.s = open(t, p.client, session.TTL(300*time.Second))
	p.rival = open(t, p.other, session.TTL(300*time.Second))
	return p
}

// isFree waits far longer than a request of which nothing is heard may take.
func (p *cutOffParty) isFree(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	held, err := lock.Acquire(ctx, p.rival, "x")
	if err != nil {
		t.Fatalf("a ghost is in front: %v", err)
	}
	release(t, held)
}

// burn makes a request, so that a mishap that waits for one does not meet the clean-up of the test.
func (p *cutOffParty) burn(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _ = p.client.Get(ctx, "burn")
}

func (p *cutOffParty) leavesNothing(t *testing.T) {
	t.Helper()
	for _, s := range []*session.Session{p.s, p.rival} {
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if left := keysOf(t, p.other); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
