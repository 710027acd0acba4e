package chaos

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
)

// recipes is all of them at once: each worker uses one, on sessions that it shares with others. Each is judged by its own rules.
type recipes struct{}

var each = []string{"lock", "rwlock", "sets", "semaphore", "election"}

// Work implements Workload.
func (recipes) Work(ctx context.Context, w *Worker) {
	w.recipe = each[(w.number+w.cfg.Client)%len(each)]
	workloads[w.recipe].Work(ctx, w)
}

// Place implements Workload.
func (recipes) Place(key string) (string, bool) {
	for _, recipe := range each {
		if name, ok := workloads[recipe].Place(key); ok {
			return recipe + " " + name, true
		}
	}
	return "", false
}

// Waits implements Queued. Those who stand in one row with who holds are told apart by their age.
func (recipes) Waits(key string) bool {
	for _, recipe := range each {
		if _, ok := workloads[recipe].Place(key); ok {
			q, queued := workloads[recipe].(Queued)
			return !queued || q.Waits(key)
		}
	}
	return false
}

// Handed implements Queued.
func (recipes) Handed(key string) bool {
	return slices.ContainsFunc(each, func(recipe string) bool {
		q, queued := workloads[recipe].(Queued)
		return queued && q.Handed(key)
	})
}

// Tidy implements Workload.
func (recipes) Tidy(ctx context.Context, a *Admin) (root string, err error) {
	for _, recipe := range each {
		r, e := workloads[recipe].Tidy(ctx, a)
		root, err = r, errors.Join(err, e)
	}
	return root, err
}

// Judge implements Workload.
func (recipes) Judge(h *history.History) *check.Verdict {
	v := &check.Verdict{}
	for i, recipe := range each {
		v.Join(workloads[recipe].Judge(part(h, recipe, i == 0)))
	}
	v.Events = len(h.Events)
	return v
}

// part is what one recipe's clients did. What is nobody's own is judged with the first.
func part(h *history.History, recipe string, first bool) *history.History {
	p := *h
	p.Ops = keep(h.Ops, func(op history.Op) bool { return op.Recipe == recipe || first && !slices.Contains(each, op.Recipe) })
	p.Beliefs = keep(h.Beliefs, func(b history.Belief) bool { return b.Recipe == recipe })
	p.Stored = keep(h.Stored, func(s history.Stored) bool { return strings.HasPrefix(s.Resource, recipe+"/") })
	if first {
		return &p
	}
	p.LeftKeys, p.LeftLeases, p.Ends = nil, 0, slices.Clone(h.Ends)
	for i := range p.Ends {
		p.Ends[i].Leaks = nil
	}
	return &p
}

func keep[T any](all []T, so func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !so(t) })
}
