package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// sets is the workload of several exclusive locks at once: of few names, so that what one wants overlaps with what others want. Some want
// only one.
type sets struct{ locks }

// setNames is what their names begin with, so that they are no others' locks.
const setNames = "set/"

// setsOf is how many there are.
const setsOf = 6

// Place implements Workload.
func (sets) Place(key string) (string, bool) {
	name, _, ok := cutKey(lockRoot, "/e/", key)
	return name, ok && strings.HasPrefix(name, setNames)
}

// Judge implements Workload.
func (s sets) Judge(h *history.History) *check.Verdict {
	return check.Judge(h, check.Layout{Recipe: "sets", Entry: s.Place, Data: dataOf("sets"), Sets: true})
}

// Work implements Workload.
func (s sets) Work(ctx context.Context, w *Worker) {
	for ctx.Err() == nil {
		ses, names := pick(w.Rand, w.shared...), w.names()
		if w.Rand.IntN(3) == 0 {
			s.acquire(ctx, w, ses, names[0])
		} else {
			s.all(ctx, w, ses, names)
		}
		sleep(ctx, w.upTo(2*w.cfg.Pause+1))
	}
}

// names are two to four of them, in any order.
func (w *Worker) names() []string {
	var names []string
	for _, i := range w.Rand.Perm(setsOf)[:2+w.Rand.IntN(3)] {
		names = append(names, fmt.Sprintf("%s%d", setNames, i))
	}
	return names
}

// all acquires all names at once. What comes of it is recorded for each.
func (sets) all(ctx context.Context, w *Worker, s *session.Session, names []string) {
	wait, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	ops := w.beginAll(wait, history.Acquire, names)
	held, err := lock.AcquireAll(wait, s, names...)
	if err != nil {
		for _, op := range ops {
			w.end(wait, op, history.Fail, err)
		}
		return
	}
	holdings := make([]*holding, len(names))
	for i, op := range ops {
		holdings[i] = w.holdOne(held, i)
		holdings[i].got(wait, op)
	}
	w.useAll(ctx, holdings, held.Release)
}

// useAll works with several that are held together, and gives them back.
func (w *Worker) useAll(ctx context.Context, holdings []*holding, release func(context.Context) error) {
	pick(w.Rand, holdings...).work(ctx)
	pick(w.Rand, holdings...).act(ctx)
	w.releaseAll(holdings, release)
}

// beginAll records that all names are about to be acquired, at once.
func (w *Worker) beginAll(ctx context.Context, kind string, names []string) []*history.Op {
	ops := make([]*history.Op, len(names))
	for i, name := range names {
		op := history.Op{Kind: kind, Name: name}
		if i > 0 {
			op.Set = ops[0].ID
		}
		ops[i] = w.begin(ctx, op)
	}
	ops[0].Set = ops[0].ID
	return ops
}

// releaseAll ends a hold on several.
func (w *Worker) releaseAll(holdings []*holding, release func(context.Context) error) {
	var looks sync.WaitGroup
	for _, h := range holdings {
		looks.Go(h.stop)
	}
	looks.Wait()
	ctx, cancel := w.releasing()
	defer cancel()
	ops := make([]*history.Op, len(holdings))
	for i, h := range holdings {
		ops[i] = w.begin(ctx, h.op(history.Release))
	}
	err := release(ctx)
	for _, op := range ops {
		w.released(ctx, op, err)
	}
}
