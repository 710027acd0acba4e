package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
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
		p.TTL = 6 * time.Second
		return p.only("answers slow, then none").holdLong()
	},
	"own entry not looked at after the wait": func(p Plan) Plan { return p.only("waiter removed", "key deleted") },
	"release by name":                        func(p Plan) Plan { return p.only("key deleted", "requests late, on lost connections", "answers lost") },
	"one id for all acquisitions of a session": func(p Plan) Plan {
		return p.only("compaction")
	},
	"guard by the create revision":          func(p Plan) Plan { return p.only("waiter removed", "requests late, on lost connections") },
	"waiter trusts the watch alone":         func(p Plan) Plan { p.Faults = 5 * time.Second; return p.only("compaction") },
	"watchdog in the goroutine that renews": func(p Plan) Plan { return p.only("partition").holdLong() },
	"cleaning up without bounds": func(p Plan) Plan {
		p.TTL = 12 * time.Second
		return p.only("partition, connections lost", "partition")
	},
	"token from the last answer": func(p Plan) Plan { return p.only("compaction") },
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
	"a join without an answer is not made void": func(p Plan) Plan { return p.only("requests late, on lost connections") },
	"gone is taken for passed":                  func(p Plan) Plan { return p.only("compaction") },
	"tail removed although the predecessor is unknown": func(p Plan) Plan {
		p.Names, p.Clients = 3, 6
		return p.only("answers slow, connections reset")
	},
	"a deleted predecessor is taken for one that passed": func(p Plan) Plan { return p.only("key deleted", check.KindKill) },
}

func (p Plan) only(kinds ...string) Plan {
	p.Kinds = kinds
	return p
}

// holdLong has everybody hold until it is lost.
func (p Plan) holdLong() Plan {
	p.Long, p.Hold, p.Names = 70, 4*p.TTL, 9
	return p
}

// Mutants runs a trial of each mutant, or of the one named only, and writes a table to out. The code is 1 if one was not found.
func Mutants(ctx context.Context, t *Tools, seed uint64, only string, out io.Writer) (code int, err error) {
	all, err := trials()
	if err != nil {
		return 2, err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	tell(w, "seed %d\nMUTANT\tFOUND BY\tAFTER\tVIOLATIONS\n", seed)
	tried := 0
	for _, tr := range all {
		if only != "" && tr.name != only {
			continue
		}
		tried++
		res, err := t.try(ctx, tr, seed)
		if err != nil {
			return 2, fmt.Errorf("%s: %w", tr.name, err)
		}
		found, after := firstOf(res)
		if found == "" || after > foundWithin {
			code = 1
			found = "NOT FOUND"
		}
		tell(w, "%s\t%s\t%.1f s\t%d\n", tr.name, found, after.Seconds(), len(res.Violations))
		_ = w.Flush()
	}
	if tried == 0 {
		return 2, fmt.Errorf("no mutant %q", only)
	}
	return code, nil
}

// try builds a mutant's client and runs its trial.
func (t *Tools) try(ctx context.Context, tr trial, seed uint64) (res *Result, err error) {
	dir, err := os.MkdirTemp(t.Dir, "mutant-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if tr.mut != nil {
		overlay, err := tr.mut.Overlay(t.Root, dir)
		if err != nil {
			return nil, err
		}
		tr.plan.ClientProgram = filepath.Join(dir, "client")
		if err := t.build(ctx, tr.plan.ClientProgram, "./internal/chaos/cmd/chaos", "-overlay", overlay); err != nil {
			return nil, err
		}
	}
	tr.plan.Discard = true
	return t.Run(ctx, tr.plan, seed)
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
