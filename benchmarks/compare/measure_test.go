package main

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// limit is ten times what the tests take, and more.
const limit = 60 * time.Second

func testBench(t *testing.T) (context.Context, *bench) {
	t.Helper()
	return benchOn(t, recipestest.Endpoint(t))
}

func benchOn(t *testing.T, endpoint string) (context.Context, *bench) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	b, hangUp, err := newBench(endpoint, 200*time.Millisecond, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hangUp() })
	return ctx, b
}

// TestScenariosMeasureWhatTheyShow: each figure of each scenario's table, of each system.
func TestScenariosMeasureWhatTheyShow(t *testing.T) {
	own, err := startProcess(t.Context(), t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.close(); err != nil {
			t.Error(err)
		}
	})
	l := locks()
	var name string // of the last lock
	for system, e := range l {
		l[system] = noting(e, &name)
	}
	for _, s := range []scenario{
		uncontended("uncontended", l, nil), contended("contended", l, 3, nil), parked("parked", l, 5, nil, nil),
	} {
		for _, system := range systemNames {
			t.Run(s.name+"/"+system, func(t *testing.T) {
				ctx, b := benchOn(t, own.endpoint)
				b.own = own
				got, err := b.measure(ctx, s, system)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range s.measures {
					v, ok := got[m.key]
					wantZero := m.key == refused || m.key == ghosts
					if m.key == others {
						wantZero = v == 0 // whatever they do
					}
					if !ok || math.IsNaN(v) || wantZero != (v == 0) {
						t.Errorf("%s = %v (measured: %v), want it above 0, and 0 of refused and ghosts", m.key, v, ok)
					}
				}
				wantNoneStanding(ctx, t, b, l[system], name)
			})
		}
	}
}

// noting is e, and name is what it is opened as.
func noting(e exclusive, name *string) exclusive {
	var mu sync.Mutex
	open := e.open
	e.open = func(ctx context.Context, c *clientv3.Client, as string, n int) (*parties, error) {
		mu.Lock()
		defer mu.Unlock()
		*name = as
		return open(ctx, c, as, n)
	}
	return e
}

// wantNoneStanding: the measurement left nobody in line.
func wantNoneStanding(ctx context.Context, t *testing.T, b *bench, e exclusive, name string) {
	t.Helper()
	if n, err := e.standing(ctx, b.control, name); n != 0 || err != nil {
		t.Errorf("%d stand in line afterwards (%v), want 0", n, err)
	}
}

// TestEveryAcquisitionHasItsHandOver: nobody is left out of the record, and nobody comes in before another has left.
func TestEveryAcquisitionHasItsHandOver(t *testing.T) {
	for system, e := range locks() {
		t.Run(system, func(t *testing.T) {
			const n = 4
			ctx, b := testBench(t)
			m, err := b.meet(ctx, e, n, one)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.close(ctx) }()
			var done atomic.Int64
			all := m.all()
			for i, acquire := range all {
				all[i] = func(ctx context.Context) (func(context.Context) error, error) {
					defer done.Add(1)
					return acquire(ctx)
				}
			}
			var turns turns
			begin := time.Now()
			if err := turns.loop(ctx, all, begin.Add(b.time))(); err != nil {
				t.Fatal(err)
			}
			list := turns.within(begin, time.Now())
			if got, want := len(list), int(done.Load()); got != want || len(handOvers(list)) != want-1 {
				t.Errorf("%d turns with %d hand-overs of %d acquisitions, want all, and one less", got, len(handOvers(list)), want)
			}
			for who, share := range shares(list, n) {
				if share == 0 {
					t.Errorf("participant %d was never inside", who)
				}
			}
			if err := turns.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTwoInsideAtOneTimeAreAnError(t *testing.T) {
	var turns turns
	turns.enter(0)
	turns.enter(1)
	turns.leave()
	turns.leave()
	turns.enter(0)
	if err := turns.check(); !errors.Is(err, errOverlap) {
		t.Errorf("%v, want %v", err, errOverlap)
	}
}

// TestAnOverlapFailsTheMeasurement: of a lock that lets everybody in.
func TestAnOverlapFailsTheMeasurement(t *testing.T) {
	ctx, b := testBench(t)
	open := exclusive{
		open: func(context.Context, *clientv3.Client, string, int) (*parties, error) {
			in := func(context.Context) (func(context.Context) error, error) {
				return func(context.Context) error { return nil }, nil
			}
			return &parties{acquire: []acquire{in}, close: func(context.Context) error { return nil }}, nil
		},
	}
	if _, err := b.contend(ctx, open, 8); !errors.Is(err, errOverlap) {
		t.Errorf("%v, want %v", err, errOverlap)
	}
}

// TestRefusedAndGhostsAreCounted: of a lock that refuses one, who stays in line all the same.
func TestRefusedAndGhostsAreCounted(t *testing.T) {
	ctx, b := testBench(t)
	bad, good := errors.New("refused"), locks()[stile]
	ghost := good
	ghost.open = func(ctx context.Context, c *clientv3.Client, name string, n int) (*parties, error) {
		p, err := good.open(ctx, c, name, n)
		if err == nil && n > 0 && c != b.control { // the only one that waits
			p.acquire[0] = func(context.Context) (func(context.Context) error, error) { return nil, bad }
		}
		return p, err
	}
	ghost.standing = func(ctx context.Context, c *clientv3.Client, name string) (int, error) {
		n, err := good.standing(ctx, c, name)
		return n + 1, err
	}
	got, err := b.park(ctx, ghost, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got[refused] != 1 || got[ghosts] != 1 {
		t.Errorf("%v refused and %v ghosts, want 1 and 1", got[refused], got[ghosts])
	}
}

// TestPadsStandBehindTheWaiters: when only some can be real, the others are plain keys that go afterwards.
func TestPadsStandBehindTheWaiters(t *testing.T) {
	ctx, b := testBench(t)
	var name string
	e := noting(locks()[etcd], &name)
	e.real = 4
	most := 0
	pad := e.pad
	e.pad = func(ctx context.Context, c *clientv3.Client, name string, n int) (func(context.Context) error, error) {
		remove, err := pad(ctx, c, name, n)
		if err == nil {
			most, err = e.standing(ctx, c, name)
		}
		return remove, err
	}
	got, err := b.park(ctx, e, 250)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 250; most != want {
		t.Errorf("%d stood in line, want %d", most, want)
	}
	if _, ok := got[refused]; ok || got[rate] <= 0 {
		t.Errorf("%v, want a rate, and nothing about refusals of those that did not wait", got)
	}
	wantNoneStanding(ctx, t, b, e, name)
}
