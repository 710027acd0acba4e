package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/session"
)

// elections is the workload of few elections: those who campaign, those who run, and those who look on.
type elections struct{}

const electionRoot = "/stile/v1/election/"

// Place implements Workload.
func (e elections) Place(key string) (string, bool) {
	if name, ok := e.leads(key); ok {
		return name, true
	}
	name, _, ok := e.line(key)
	return name, ok
}

// Waits implements Queued.
func (e elections) Waits(key string) bool {
	_, _, ok := e.line(key)
	return ok
}

// Handed implements Queued.
func (e elections) Handed(key string) bool {
	_, ok := e.leads(key)
	return ok
}

func (elections) leads(key string) (name string, ok bool) {
	name, rest, ok := cutKey(electionRoot, "/p/", key)
	return name, ok && rest == "leader"
}

func (elections) line(key string) (name, id string, ok bool) { return cutKey(electionRoot, "/e/", key) }

func (e elections) proclaimed(key string) (name string, ok bool) {
	place, ok := strings.CutSuffix(key, "!value")
	if !ok {
		return "", false
	}
	return e.leads(place)
}

// Judge implements Workload.
func (e elections) Judge(h *history.History) *check.Verdict {
	places := &check.Places{Line: e.line, Handed: true, Proclaimed: e.proclaimed}
	return check.Judge(h, check.Layout{Recipe: "election", Entry: e.leads, Data: dataOf("election"), Reused: true, Places: places})
}

// Tidy implements Workload.
func (elections) Tidy(ctx context.Context, a *Admin) (string, error) {
	var errs []error
	for i := range electionsOf { // it sweeps the tails that crashes have left
		_, err := election.Inspect(ctx, a.etcd, electionName(i))
		errs = append(errs, err)
	}
	return "/stile/", errors.Join(errs...)
}

const electionsOf = 3

func electionName(i int) string { return fmt.Sprintf("crew/%d", i) }

// Work implements Workload.
func (e elections) Work(ctx context.Context, w *Worker) {
	for ctx.Err() == nil {
		s, name := pick(w.Rand, w.shared...), electionName(w.Rand.IntN(electionsOf))
		switch w.Rand.IntN(10) {
		case 0:
			e.observe(ctx, w, name)
		case 1, 2, 3:
			(&running{Worker: w, name: name}).run(ctx, s)
		default:
			e.campaign(ctx, w, s, name)
		}
		sleep(ctx, w.upTo(2*w.cfg.Pause+1))
	}
}

func (e elections) campaign(ctx context.Context, w *Worker, s *session.Session, name string) {
	wait, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	op := w.begin(wait, history.Op{Kind: history.Acquire, Name: name})
	term, err := election.Campaign(wait, s, name, election.Value(fmt.Sprint("of ", op.ID)), election.Priority(w.Rand.IntN(2)))
	if err != nil {
		w.end(wait, op, history.Fail, err)
		return
	}
	h := w.hold(term)
	h.got(wait, op)
	h.work(ctx)
	if h.txn != nil {
		e.proclaim(ctx, h, term)
	}
	give := term.Resign
	if w.Rand.IntN(3) == 0 {
		give = func(ctx context.Context) error { return w.handOver(ctx, name, term) }
	}
	h.giveBack(ctx, give)
}

// handOver gives leadership to one of those who wait, or to whoever is next.
func (w *Worker) handOver(ctx context.Context, name string, term *election.Term) error {
	all, err := election.Candidates(ctx, w.etcd, name)
	if err != nil || len(all) == 0 {
		return term.Resign(ctx)
	}
	if err = term.HandOver(ctx, pick(w.Rand, all...).ID); err != nil && term.Err() == nil {
		return term.Resign(ctx) // nothing was done, and the term goes on
	}
	return err
}

func (elections) proclaim(ctx context.Context, h *holding, term *election.Term) {
	for i := range h.Rand.IntN(3) {
		bound, cancel := context.WithTimeout(ctx, requestTime)
		op := h.begin(bound, h.op(history.Proclaim))
		err := term.Proclaim(bound, fmt.Sprintf("%d of %s", i, number(op)))
		h.end(bound, op, outcome(err), err)
		cancel()
	}
}

func number(op *history.Op) string { return fmt.Sprintf("%d.%d.%d", op.Client, op.Life, op.ID) }

// observe looks on for a while.
func (elections) observe(ctx context.Context, w *Worker, name string) {
	watch, cancel := context.WithTimeout(ctx, w.upTo(4*time.Second))
	defer cancel()
	var first int64
	for change, err := range election.Observe(watch, w.etcd, name) {
		if err != nil {
			return
		}
		op := w.begin(context.Background(), history.Op{Kind: history.Observe, Name: name, Set: first})
		if first == 0 {
			first = op.ID
			op.Set = first
		}
		op.Rev = change.Revision
		if l := change.Leader; l != nil {
			op.Key, op.Value = l.ID, l.Value
			op.Token, _ = l.Term.Int64()
		}
		w.end(watch, op, history.OK, nil)
	}
}

// running is a call of Run, which the record takes apart: each term is an acquisition, work, and a release.
type running struct {
	*Worker
	name    string
	acquire *history.Op // not answered yet
	release *history.Op
}

func (r *running) run(ctx context.Context, s *session.Session) {
	wait, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	r.acquire = r.begin(wait, history.Op{Kind: history.Acquire, Name: r.name})
	err := election.Run(wait, s, r.name, func(work context.Context, term *election.Term) error {
		r.next(wait)
		r.lead(wait, work, term)
		return nil
	}, election.Priority(r.Rand.IntN(2)))
	if r.acquire != nil {
		r.end(wait, r.acquire, history.Fail, err)
	}
	if r.release != nil {
		r.released(wait, r.release, err)
	}
}

// next begins a term. That there is another one before says that it was lost.
func (r *running) next(wait context.Context) {
	if r.release != nil {
		r.end(wait, r.release, history.Unknown, nil)
		r.release = nil
	}
	if r.acquire == nil {
		r.acquire = r.begin(wait, history.Op{Kind: history.Acquire, Name: r.name})
	}
}

// lead works, and now and then resigns before it has done.
func (r *running) lead(wait, work context.Context, term *election.Term) {
	h := r.hold(term)
	h.got(wait, r.acquire)
	r.acquire = nil
	op := r.begin(context.Background(), h.op(history.Work))
	for range 1 + r.Rand.IntN(2) {
		h.act(work)
	}
	if r.Rand.IntN(3) == 0 {
		_ = term.Resign(work)
		sleep(context.WithoutCancel(wait), r.upTo(60*time.Millisecond))
	}
	result := history.OK
	if errors.Is(term.Err(), session.ErrLost) {
		result = history.Fail
	}
	h.stop()
	r.release = r.begin(wait, h.op(history.Release))
	r.end(work, op, result, nil)
}
