package chaos

import (
	"context"
	"sync"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// sessions opens sessions and closes them, while somebody waits, somebody holds, and etcd may be away. What it leaves is judged as what
// locks leaves is.
type sessions struct{ locks }

// Judge implements Workload.
func (s sessions) Judge(h *history.History) *check.Verdict {
	return check.Judge(h, check.Layout{Recipe: "lock", Entry: s.Place, Data: dataOf("session")})
}

// Work implements Workload.
func (s sessions) Work(ctx context.Context, w *Worker) {
	for ctx.Err() == nil {
		s.once(ctx, w)
		sleep(ctx, w.upTo(4*w.cfg.Pause+1))
	}
}

const openTime = 5 * time.Second

func (s sessions) once(ctx context.Context, w *Worker) {
	opening, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	op := w.begin(opening, history.Op{Kind: history.Open})
	ses, err := session.Open(opening, w.etcd, w.cfg.options()...)
	if err != nil {
		w.end(opening, op, history.Unknown, err)
		return
	}
	w.end(opening, op, history.OK, nil)
	id := op.ID
	work, stop := context.WithCancelCause(ctx)
	var others sync.WaitGroup
	for i := range w.Rand.IntN(3) {
		w := w.fork(i)
		others.Go(func() {
			for work.Err() == nil && s.locked(work, w, ses, id) {
				sleep(work, w.upTo(2*w.cfg.Pause+1))
			}
		})
	}
	s.locked(work, w, ses, id)
	if w.Rand.IntN(2) == 0 { // in half of the cases the session is closed under whoever uses it
		stop(stopped{history.Now()})
		others.Wait()
	}
	w.closeSession(ses, id)
	stop(stopped{history.Now()})
	others.Wait()
}

// locked acquires a lock, and is false when that is not possible any more.
func (s sessions) locked(ctx context.Context, w *Worker, ses *session.Session, id int64) bool {
	wait, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	op := w.begin(wait, history.Op{Kind: history.Acquire, Name: w.name(), Session: id})
	held, err := lock.Acquire(wait, ses, op.Name)
	s.got(ctx, wait, w, op, held, err)
	return err == nil
}

func (w *Worker) closeSession(ses *session.Session, id int64) {
	ctx, cancel := context.WithTimeout(context.Background(), pick(w.Rand, time.Millisecond, requestTime))
	defer cancel()
	op := w.begin(ctx, history.Op{Kind: history.Close, Session: id})
	if err := ses.Close(ctx); err != nil {
		w.end(ctx, op, history.Unknown, err)
		return
	}
	w.end(ctx, op, history.OK, nil)
}
