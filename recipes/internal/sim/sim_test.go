package sim

import (
	"flag"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

var (
	oneSeed  = flag.Uint64("sim.seed", 0, "run this seed alone, and tell its story if it fails")
	firstOne = flag.Uint64("sim.first", 1, "the first of many seeds")
	realTime = flag.Duration("sim.time", 0, "go on with more seeds for so long")
)

const (
	each = 10 * time.Minute // of virtual time with faults, for one seed
	few  = 8                // seeds without -sim.time
)

func TestMain(m *testing.M) {
	uuid.SetRand(ids{})
	goleak.VerifyTestMain(m)
}

// TestSimulation: nothing happens, in any run, that must not.
func TestSimulation(t *testing.T) {
	if *oneSeed > 0 { // several times, if need be: see TestASeedRepeats
		out := run(t, plan{seed: *oneSeed, length: each, keepLog: true})
		if len(out.wrong) > 0 {
			t.Log(strings.Join(out.log, "\n"))
		}
		report(t, out)
		t.Logf("%v virtual, log %x", out.virtual, out.sum)
		return
	}
	all := many(t, *firstOne, func(n int, spent time.Duration) bool { return n < few || spent < *realTime })
	t.Logf("%.1f virtual hours in %v, seeds %d to %d, %d violations", all.virtual.Hours(), all.took.Round(time.Second), *firstOne, all.seed, len(all.wrong))
	counts(t, all.tally)
}

// totals are of many runs.
type totals struct {
	outcome
	took time.Duration
}

func (all *totals) add(out outcome) {
	all.virtual += out.virtual
	all.seed = max(all.seed, out.seed)
	all.wrong = append(all.wrong, out.wrong...)
	for what, n := range out.tally {
		all.tally[what] += n
	}
}

// many runs one seed after the other as long as more says so, on all processors.
func many(t *testing.T, first uint64, more func(n int, spent time.Duration) bool) (all totals) {
	t.Helper()
	all.tally = make(map[string]int)
	began := time.Now()
	var next atomic.Int64
	var mu sync.Mutex
	var going sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		going.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if !more(n, time.Since(began)) {
					return
				}
				out := run(t, plan{seed: first + uint64(n), length: each})
				report(t, out)
				if len(out.wrong) > 0 {
					t.Logf("again: make sim SEED=%d", out.seed)
				}
				mu.Lock()
				all.add(out)
				mu.Unlock()
			}
		})
	}
	going.Wait()
	all.took = time.Since(began)
	return all
}

func report(t *testing.T, out outcome) {
	t.Helper()
	if len(out.wrong) > 0 {
		t.Errorf("seed %d: %s", out.seed, strings.Join(out.wrong, "\n"))
	}
}

func counts(t *testing.T, tally map[string]int) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%8d %s", tally[what], what)
	}
}
