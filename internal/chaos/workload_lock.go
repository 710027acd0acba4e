package chaos

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// locks is the workload of the exclusive lock, and of what it stands on: the line and the session.
type locks struct{}

const lockRoot = "/stile/v1/lock/"

// Place implements Workload.
func (locks) Place(key string) (string, bool) {
	name, _, ok := cutKey(lockRoot, "/e/", key)
	return name, ok && !strings.HasPrefix(name, setNames)
}

// Judge implements Workload.
func (l locks) Judge(h *history.History) *check.Verdict {
	return check.Judge(h, check.Layout{Recipe: "lock", Entry: l.Place, Data: dataOf("lock")})
}

// Tidy implements Workload.
func (locks) Tidy(ctx context.Context, a *Admin) (string, error) {
	_, err := lock.List(ctx, a.etcd) // it sweeps the tails that crashes have left
	return "/stile/", err
}

// Work implements Workload.
func (l locks) Work(ctx context.Context, w *Worker) {
	for ctx.Err() == nil {
		s := pick(w.Rand, w.shared...)
		switch w.Rand.IntN(10) {
		case 0, 1:
			l.try(ctx, w, s, w.name())
		case 2:
			l.do(ctx, w, s, w.name())
		default:
			l.acquire(ctx, w, s, w.name())
		}
		sleep(ctx, w.upTo(2*w.cfg.Pause+1))
	}
}

// patience is how long clients wait for a lock.
func (w *Worker) patience() time.Duration {
	if w.cfg.Patience > 0 {
		return 20*time.Millisecond + w.upTo(w.cfg.Patience)
	}
	short := 20*time.Millisecond + w.upTo(1500*time.Millisecond)
	return pick(w.Rand, short, short, 3*time.Second, 20*time.Second, 20*time.Second)
}

func (l locks) acquire(ctx context.Context, w *Worker, s *session.Session, name string) {
	wait, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	op := w.begin(wait, history.Op{Kind: history.Acquire, Name: name})
	held, err := lock.Acquire(wait, s, name)
	l.got(ctx, wait, w, op, held, err)
}

// tryTime is how long a client waits for etcd to say that a lock is free, beyond the recipe's own limit.
const tryTime = 8 * time.Second

func (l locks) try(ctx context.Context, w *Worker, s *session.Session, name string) {
	wait, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	op := w.begin(wait, history.Op{Kind: history.Try, Name: name})
	held, err := lock.TryAcquire(wait, s, name)
	l.got(ctx, wait, w, op, held, err)
}

func (locks) got(ctx, wait context.Context, w *Worker, op *history.Op, held *lock.Held, err error) {
	if err != nil {
		w.end(wait, op, history.Fail, err)
		return
	}
	h := w.hold(held)
	h.got(wait, op)
	h.work(ctx)
	h.giveBack(ctx, held.Release)
}

// giveBack ends the hold. Now and then another goroutine goes on to use it, which nobody has told to stop.
func (h *holding) giveBack(ctx context.Context, release func(context.Context) error) {
	var late sync.WaitGroup
	if h.txn != nil && h.Rand.IntN(4) == 0 {
		late.Go(func() { h.useEtcd(ctx) })
	}
	h.stop()
	h.release(h, release)
	late.Wait()
}

// work is what is done while the lock is held: mostly little, sometimes as long as it lasts.
func (h *holding) work(ctx context.Context) {
	if h.Rand.IntN(100) >= h.cfg.Long {
		for range 1 + h.Rand.IntN(3) {
			h.act(ctx)
		}
		return
	}
	until, stubborn := time.Now().Add(h.cfg.Hold/4+h.upTo(h.cfg.Hold)), h.Rand.IntN(2) == 0 // some ask again and again after the loss
	for ctx.Err() == nil && time.Now().Before(until) && (stubborn || h.ctx.Err() == nil) {
		h.act(ctx)
		sleep(ctx, 10*time.Millisecond)
	}
	h.act(context.WithoutCancel(ctx)) // also after the loss: the answer has to be no
}

// release records a release.
func (w *Worker) release(h *holding, give func(context.Context) error) {
	ctx, cancel := w.releasing()
	defer cancel()
	op := w.begin(ctx, h.op(history.Release))
	w.released(ctx, op, give(ctx))
}

// releasing is the ctx of a release: half of the time it ends at once.
func (w *Worker) releasing() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), pick(w.Rand, time.Millisecond, requestTime))
}

// released records what a release came to.
func (w *Worker) released(ctx context.Context, op *history.Op, err error) {
	switch {
	case err == nil:
		w.end(ctx, op, history.OK, nil)
	case errors.Is(err, session.ErrLost):
		w.end(ctx, op, history.Fail, err)
	default:
		w.end(ctx, op, history.Unknown, err)
	}
}

func (locks) do(ctx context.Context, w *Worker, s *session.Session, name string) {
	w.do(ctx, s, name, func(ctx context.Context, s *session.Session, name string, work func(context.Context) error) error {
		return lock.Do(ctx, s, name, work)
	})
}

// do is an acquisition, work and a release in one call, which the record takes apart again.
func (w *Worker) do(ctx context.Context, s *session.Session, name string,
	do func(context.Context, *session.Session, string, func(context.Context) error) error,
) {
	wait, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	op := w.begin(wait, history.Op{Kind: history.Acquire, Name: name})
	var release *history.Op
	err := do(wait, s, name, func(work context.Context) error {
		h, err := w.holdIn(work)
		if err != nil {
			return err
		}
		h.got(wait, op)
		h.act(work)
		h.stop()
		release = w.begin(work, h.op(history.Release))
		return nil
	})
	if release == nil {
		w.end(wait, op, history.Fail, err)
		return
	}
	w.released(wait, release, err)
}
