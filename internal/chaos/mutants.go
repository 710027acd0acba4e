package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/mutant"
)

// foundWithin is how long it may take to find a mutant.
const foundWithin = time.Minute

// A trial is a round that is to show that something is wrong.
type trial struct {
	name string
	mut  *mutant.Mutant // nil: what is wrong is the workload's own
	plan Plan
}

// trials are the mutants, each with the faults that it can't bear, and etcd's own mutex.
func trials() ([]trial, error) {
	var all []trial
	for i, m := range mutant.All {
		bite, ok := bites[m.Name]
		if !ok {
			return nil, fmt.Errorf("mutant %q: nobody says what finds it", m.Name)
		}
		all = append(all, trial{m.Name, &mutant.All[i], bite(trialPlan("lock"))})
	}
	p := trialPlan("etcd")
	p.Kinds = []string{"answers slow, then none", "partition", "key deleted", "waiter removed"}
	p.TTL = 5 * time.Second
	p = p.holdLong()
	return append(all, trial{"etcd's own mutex", nil, p}), nil
}

// trialPlan is a short round with many faults, one after the other.
func trialPlan(workload string) Plan {
	p := DefaultPlan(workload)
	p.Clients, p.Names, p.Long, p.LeastOps = 4, 5, 20, 1
	p.Faults, p.Gap = 25*time.Second, 500*time.Millisecond
	return p
}

// bites are the plans that find the mutants.
var bites = map[string]func(p Plan) Plan{
	"trust counts from the answer": func(p Plan) Plan {
		p.TTL, p.Faults = 9*time.Second, 28*time.Second
		return p.only("answers slow, then none").holdLong()
	},
	"own entry not looked at after the wait":   func(p Plan) Plan { return p.only("waiter removed", "key deleted") },
	"release by name":                          func(p Plan) Plan { return p.only("key deleted", "requests late, on lost connections", "answers lost") },
	"one id for all acquisitions of a session": Plan.short,
	"guard by the create revision":             func(p Plan) Plan { return p.only("waiter removed", "requests late, on lost connections") },
	"waiter trusts the watch alone": func(p Plan) Plan { // nothing has to go wrong: the first fault would come after the end
		p.Gap, p.Workers, p.Names, p.Long = time.Hour, 6, 13, 0
		p.Latency, p.Pause = 10*time.Millisecond, 10*time.Millisecond
		return p
	},
	"watchdog in the goroutine that renews": func(p Plan) Plan {
		p.ByContext = true
		return p.only("partition of all clients").holdLong()
	},
	"cleaning up without bounds": func(p Plan) Plan {
		p.TTL = 8 * time.Second
		return p.only("partition of all clients")
	},
	"token from the last answer": Plan.short,
	"acquired anew in silence after a loss": func(p Plan) Plan {
		p.TTL, p.Margin, p.Clients = time.Second, 200*time.Millisecond, 6
		p = p.only("partition", "partition, connections lost").holdLong()
		p.Hold, p.Names = 6*time.Second, 65 // or it would have to wait for itself to be next
		return p
	},
	"a loss that is taken back": func(p Plan) Plan {
		p.TTL, p.Margin = 3*time.Second, time.Second
		return p.only("partition", "requests late").holdLong()
	},
	"a join without an answer is not made void": func(p Plan) Plan {
		p.Workers, p.Long, p.Names, p.Faults = 8, 0, 9, 30*time.Second
		return p.only("requests late, on lost connections")
	},
	"gone is taken for passed": Plan.short,
	"tail removed although the predecessor is unknown": func(p Plan) Plan { // many give up just when they have to find out
		p.Clients, p.Workers, p.Names = 6, 6, 17
		p.Patience, p.Latency, p.Long, p.Hold = 700*time.Millisecond, 30*time.Millisecond, 80, 2*time.Second
		p.Faults, p.Gap = 38*time.Second, 100*time.Millisecond
		return p.only("answers slow, connections reset")
	},
	"a deleted predecessor is taken for one that passed":   func(p Plan) Plan { return p.only("key deleted", check.KindKill) },
	"a reader that does not mind a writer":                 func(p Plan) Plan { return p.of("rwlock").short() },
	"a writer that does not mind readers":                  func(p Plan) Plan { return p.of("rwlock").short() },
	"a downgrade in two transactions":                      func(p Plan) Plan { return p.of("rwlock").short() },
	"what is free is taken, whoever waits for it":          func(p Plan) Plan { return p.of("rwlock").short() },
	"several lines are joined one after the other":         func(p Plan) Plan { return p.of("sets").short() },
	"a free slot is one to be had, whatever the limit was": func(p Plan) Plan { return p.of("semaphore").short() },
	"a limit that was lowered is not said to be":           func(p Plan) Plan { return p.of("semaphore").short() },
	"leadership is given away under the work":              func(p Plan) Plan { return p.of("election").short() },
	"observers are told what was not so yet":               func(p Plan) Plan { return p.of("election").short() },
	"leadership is handed over by who does not lead": func(p Plan) Plan {
		return p.of("election").only("requests late, on lost connections", "answers lost", "key deleted")
	},
	"of several locks those got first are not looked at again": func(p Plan) Plan {
		return p.of("sets").only("waiter removed", "key deleted").holdLong()
	},
}

func (p Plan) of(workload string) Plan {
	p.Workload = workload
	return p
}

func (p Plan) only(kinds ...string) Plan {
	p.Kinds = kinds
	return p
}

// short is for what needs nothing to go wrong.
func (p Plan) short() Plan {
	p.Faults = 5 * time.Second
	return p.only("compaction")
}

// holdLong has everybody hold until it is lost.
func (p Plan) holdLong() Plan {
	p.Long, p.Hold, p.Names = 70, 4*p.TTL, 9
	return p
}

// Trials are what is broken on purpose, to see that it is found.
type Trials struct {
	Tools *Tools
	Seed  uint64
	Only  string // the name of one; "" is all
	Sound bool   // nothing is broken: then nothing may be found
	Out   io.Writer
}

// row is a line of the table.
const row = "%-58s %-22s %8s %6v\n"

// Run runs a trial of each, and writes a table. The code is 1 if one did not end as it should.
func (t *Trials) Run(ctx context.Context) (code int, err error) {
	all, err := trials()
	if err != nil {
		return 2, err
	}
	tell(t.Out, "seed %d\n"+row, t.Seed, "BROKEN", "FOUND BY", "AFTER", "TIMES")
	tried, right := 0, 0
	for _, tr := range all {
		if t.Only != "" && tr.name != t.Only || t.Sound && tr.mut == nil {
			continue
		}
		tried++
		res, err := t.try(ctx, tr)
		if err != nil {
			return 2, fmt.Errorf("%s: %w", tr.name, err)
		}
		found, after := firstOf(res)
		if (found != "" && after <= foundWithin) != t.Sound {
			right++
		}
		tell(t.Out, row, tr.name, cmp.Or(found, "nothing"), fmt.Sprintf("%.1f s", after.Seconds()), len(res.Violations))
	}
	switch {
	case tried == 0:
		return 2, fmt.Errorf("nothing is called %q", t.Only)
	case t.Sound:
		tell(t.Out, "nothing was broken, and in %d of %d trials nothing was found\n", right, tried)
	default:
		tell(t.Out, "%d of %d found, each within %v\n", right, tried, foundWithin)
	}
	if right < tried {
		return 1, nil
	}
	return 0, nil
}

// try builds a mutant's client and runs its trial.
func (t *Trials) try(ctx context.Context, tr trial) (res *Result, err error) {
	dir, err := os.MkdirTemp(t.Tools.Dir, "mutant-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if tr.mut != nil && !t.Sound {
		overlay, err := tr.mut.Overlay(t.Tools.Root, dir)
		if err != nil {
			return nil, err
		}
		tr.plan.ClientProgram = filepath.Join(dir, "client")
		if err := t.Tools.build(ctx, tr.plan.ClientProgram, "./internal/chaos/cmd/chaos", "-overlay", overlay); err != nil {
			return nil, err
		}
	}
	tr.plan.Discard = !t.Sound
	return t.Tools.Run(ctx, tr.plan, t.Seed)
}

// firstOf is the rules that were violated, the first one first, and when that was.
func firstOf(res *Result) (rules string, after time.Duration) {
	var names []string
	for i, v := range res.Violations {
		if i == 0 {
			after = v.At.Sub(res.Began)
		}
		if !slices.Contains(names, v.Rule) {
			names = append(names, v.Rule)
		}
	}
	return strings.Join(names, " "), after
}
