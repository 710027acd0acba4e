package chaos

import (
	"context"
	"strings"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// rwlocks is the workload of the read-write lock, and of what it stands on: places, which others may be given as well.
type rwlocks struct{}

const rwlockRoot = "/stile/v1/rwlock/"

// cutKey takes a key apart: the name, and what stands after part, such as "/e/". What stands beside a key is not one of these.
func cutKey(root, part, key string) (name, rest string, ok bool) {
	below, ok := strings.CutPrefix(key, root)
	if !ok {
		return "", "", false
	}
	name, rest, ok = strings.Cut(below, part)
	return strings.ReplaceAll(name, "%2F", "/"), rest, ok && rest != "" && !strings.Contains(name, "/") && !strings.Contains(rest, "!")
}

// Place implements Workload.
func (l rwlocks) Place(key string) (string, bool) {
	if name, ok := l.held(key); ok {
		return name, true
	}
	name, _, ok := l.line(key)
	return name, ok
}

// Waits implements Queued.
func (l rwlocks) Waits(key string) bool {
	_, _, ok := l.line(key)
	return ok
}

// Handed implements Queued.
func (rwlocks) Handed(string) bool { return false }

func (rwlocks) held(key string) (name string, ok bool) {
	name, _, ok = cutKey(rwlockRoot, "/p/", key)
	return name, ok
}

func (rwlocks) line(key string) (name, id string, ok bool) { return cutKey(rwlockRoot, "/e/", key) }

// Judge implements Workload.
func (l rwlocks) Judge(h *history.History) *check.Verdict {
	shared := func(key string) bool { return !strings.HasSuffix(key, "/p/w") }
	return check.Judge(h, check.Layout{
		Recipe: "rwlock", Entry: l.held, Data: dataOf("rwlock"), Reused: true, Places: &check.Places{Line: l.line, Shared: shared},
	})
}

// Tidy implements Workload.
func (rwlocks) Tidy(ctx context.Context, a *Admin) (string, error) {
	_, err := rwlock.List(ctx, a.etcd) // it sweeps the tails that crashes have left
	return "/stile/", err
}

// Work implements Workload.
func (l rwlocks) Work(ctx context.Context, w *Worker) {
	for ctx.Err() == nil {
		s, name := pick(w.Rand, w.shared...), w.name()
		switch w.Rand.IntN(20) {
		case 0, 1:
			l.read(ctx, w, s, name, history.Try, tryTime, rwlock.TryAcquireRead)
		case 2, 3:
			l.write(ctx, w, s, name, history.Try, tryTime, rwlock.TryAcquireWrite)
		case 4:
			w.do(ctx, s, name, rwlock.DoRead)
		case 5:
			w.do(ctx, s, name, rwlock.DoWrite)
		case 6, 7, 8, 9, 10, 11, 12, 13:
			l.read(ctx, w, s, name, history.Acquire, w.patience(), rwlock.AcquireRead)
		default:
			l.write(ctx, w, s, name, history.Acquire, w.patience(), rwlock.AcquireWrite)
		}
		sleep(ctx, w.upTo(2*w.cfg.Pause+1))
	}
}

func (rwlocks) read(ctx context.Context, w *Worker, s *session.Session, name, kind string, patience time.Duration,
	acquire func(context.Context, *session.Session, string) (*rwlock.Read, error),
) {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	op := w.begin(wait, history.Op{Kind: kind, Name: name, Shared: true})
	r, err := acquire(wait, s, name)
	if err != nil {
		w.end(wait, op, history.Fail, err)
		return
	}
	w.reads(ctx, wait, op, r)
}

func (w *Worker) reads(ctx, wait context.Context, op *history.Op, r *rwlock.Read) {
	h := w.hold(r)
	h.got(wait, op)
	h.work(ctx)
	h.giveBack(ctx, r.Release)
}

func (l rwlocks) write(ctx context.Context, w *Worker, s *session.Session, name, kind string, patience time.Duration,
	acquire func(context.Context, *session.Session, string) (*rwlock.Write, error),
) {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	op := w.begin(wait, history.Op{Kind: kind, Name: name})
	held, err := acquire(wait, s, name)
	if err != nil {
		w.end(wait, op, history.Fail, err)
		return
	}
	h := w.hold(held)
	h.got(wait, op)
	h.work(ctx)
	if w.Rand.IntN(3) > 0 {
		h.giveBack(ctx, held.Release)
		return
	}
	h.stop()
	l.downgrade(ctx, h, held)
}

// downgrade is a release and an acquisition in one call, which the record takes apart. Both have come to the same.
func (rwlocks) downgrade(ctx context.Context, h *holding, held *rwlock.Write) {
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime)
	defer cancel()
	release := h.begin(bound, h.op(history.Release))
	op := h.begin(bound, history.Op{Kind: history.Exchange, Name: h.name, Shared: true})
	r, err := held.Downgrade(bound)
	if err != nil {
		h.end(bound, op, history.Fail, err)
		h.released(bound, release, err)
		return
	}
	h.released(bound, release, nil)
	h.reads(ctx, bound, op, r)
}
