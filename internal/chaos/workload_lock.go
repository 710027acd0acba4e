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
	rest, ok := strings.CutPrefix(key, lockRoot)
	if !ok {
		return "", false
	}
	name, id, ok := strings.Cut(rest, "/e/")
	return strings.ReplaceAll(name, "%2F", "/"), ok && id != ""
}

// Judge implements Workload.
func (l locks) Judge(h *history.History) *check.Verdict {
	return check.Locks(h, check.Layout{Entry: l.Place, Data: dataPrefix})
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
	h := w.hold(op, held)
	op.Token, op.Key = h.token, h.key
	w.end(wait, op, history.OK, nil)
	h.work(ctx)
	var late sync.WaitGroup
	if h.txn != nil && h.Rand.IntN(4) == 0 { // another goroutine writes, and nobody has told it to stop
		late.Go(func() { h.write(ctx) })
	}
	h.stop()
	w.release(h.name, h.token, held.Release)
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
func (w *Worker) release(name string, token int64, give func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), pick(w.Rand, time.Millisecond, requestTime))
	defer cancel()
	op := w.begin(ctx, history.Op{Kind: history.Release, Name: name, Token: token})
	switch err := give(ctx); {
	case err == nil:
		w.end(ctx, op, history.OK, nil)
	case errors.Is(err, session.ErrLost):
		w.end(ctx, op, history.Fail, err)
	default:
		w.end(ctx, op, history.Unknown, err)
	}
}

// do is an acquisition, work and a release in one call, which the record takes apart again.
func (l locks) do(ctx context.Context, w *Worker, s *session.Session, name string) {
	wait, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	op := w.begin(wait, history.Op{Kind: history.Acquire, Name: name})
	var release *history.Op
	err := lock.Do(wait, s, name, func(work context.Context) error {
		h, err := w.holdIn(op, work)
		if err != nil {
			return err
		}
		op.Token, op.Key = h.token, h.key
		w.end(wait, op, history.OK, nil)
		h.act(work)
		h.stop()
		release = w.begin(work, history.Op{Kind: history.Release, Name: name, Token: h.token})
		return nil
	})
	switch {
	case release == nil:
		w.end(wait, op, history.Fail, err)
	case err == nil:
		w.end(wait, release, history.OK, nil)
	case errors.Is(err, session.ErrLost):
		w.end(wait, release, history.Fail, err)
	default:
		w.end(wait, release, history.Unknown, err)
	}
}
