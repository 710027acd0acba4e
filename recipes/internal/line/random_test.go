package line

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestRandom: several sessions do at random what sessions do, on a real etcd, and all that can happen to them happens. All the while
// nobody overtakes, two never believe in being at the head, what stands in etcd keeps the invariants of the package's comment, nobody alive
// is stuck, and nothing is left.
//
// More runs: -rapid.checks=1000. When a run fails rapid makes it shorter, as far as it fails again; the story of the shortest is
// logged: what was drawn, who did what with which id, and what stood in etcd at which revision. What rapid says to repeat it with draws the
// same steps again; what goes on at the same time may come in another order.
func TestRandom(t *testing.T) {
	all := &tally{did: map[string]int{}}
	wanted := setChecks(t)
	var going sync.WaitGroup
	t.Run("worker", func(t *testing.T) {
		for i := range workers {
			going.Go(func() {
				t.Run(strconv.Itoa(i), func(t *testing.T) { // not t.Parallel, which allows one for each core
					st := newStage(t, all)
					rapid.Check(t, func(t *rapid.T) { st.play(t) })
				})
			})
		}
		going.Wait()
	})
	t.Log(all)
	if t.Failed() || wanted < enough {
		return
	}
	if n := all.steps(); n < all.runs*length {
		t.Errorf("%d operations in %d runs, want %d a run", n, all.runs, length)
	}
	for _, what := range whatHappens {
		if all.did[what] == 0 {
			t.Errorf("there was no %q in %d runs", what, all.runs)
		}
	}
}

const (
	workers    = 8  // runs at one time: they mostly wait
	length     = 50 // operations a run, at least
	drawnSteps = 58 // some are nothing, and some faults are never met
	enough     = 20 // runs after which everything must have happened
)

// setChecks spreads -rapid.checks over the workers. It returns how many there will be in all.
func setChecks(t *testing.T) int {
	t.Helper()
	const name = "rapid.checks"
	f := flag.Lookup(name)
	old := f.Value.String()
	checks := 120
	if raceDetector {
		checks = 48
	}
	_, told := os.LookupEnv("RAPID_CHECKS")
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == name })
	if told {
		checks, _ = strconv.Atoi(old)
	}
	each := (checks + workers - 1) / workers
	if err := flag.Set(name, strconv.Itoa(each)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, old) })
	return each * workers
}

// tally counts over all runs.
type tally struct {
	mu   sync.Mutex
	runs int
	did  map[string]int
}

func (a *tally) add(did map[string]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs++
	for what, n := range did {
		a.did[what] += n
	}
}

// number is that of the run that goes on.
func (a *tally) number() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs + 1
}

// steps are the operations that were drawn and done, without what came of them.
func (a *tally) steps() (n int) {
	for _, do := range operations {
		n += a.did[do.name]
	}
	return n
}

func (a *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs, %d operations:", a.runs, a.steps())
	for _, what := range whatHappens {
		fmt.Fprintf(&b, "\n%8d %s", a.did[what], what)
	}
	return b.String()
}

// play is one run.
func (st *stage) play(t *rapid.T) {
	r := st.begin(t, below(2).Draw(t, "steady if 3") == 3)
	defer r.end()
	for i := range length + length/10 {
		d := rapid.Custom(drawStep).Draw(t, fmt.Sprintf("step %d", i))
		r.do(i, d)
		r.check()
	}
	r.drain()
	r.check()
	r.lastInLine()
	r.check()
	r.close()
	r.check()
}

// drawn is one step as rapid draws it. Whom exactly it is about depends on who stands there by then.
type drawn struct {
	Do    string
	Who   int  // which party
	Which int  // which of those whom it can be about
	Await bool // the next step comes when this one has had its effect
}

func (d drawn) String() string {
	s := fmt.Sprintf("%s (%d, %d", d.Do, d.Who, d.Which)
	if d.Await {
		s += ", await"
	}
	return s + ")"
}

func drawStep(t *rapid.T) drawn {
	return drawn{
		Do:    weighted[below(6).Draw(t, "do")],
		Who:   below(2).Draw(t, "who"),
		Which: below(3).Draw(t, "which"),
		Await: rapid.Bool().Draw(t, "await"),
	}
}

// below draws each number below 2^bits as often as any other; rapid's own integers prefer small ones.
func below(bits int) *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) (n int) {
		for range bits {
			n *= 2
			if rapid.Bool().Draw(t, "bit") {
				n++
			}
		}
		return n
	})
}

// weighted has each operation as often as it is to be drawn. The first, which rapid makes the others into, is none.
var weighted = func() []string {
	names := []string{nothing}
	for _, do := range operations {
		names = append(names, slices.Repeat([]string{do.name}, do.weight)...)
	}
	return names
}()
