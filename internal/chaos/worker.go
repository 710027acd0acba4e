package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/session"
)

// A Worker is one goroutine of a client, and what it needs.
type Worker struct {
	*process
	Rand   *rand.Rand
	recipe string // that it uses
	number int    // of its process's
}

// process is what the goroutines of a client process share.
type process struct {
	cfg    ClientConfig
	etcd   *clientv3.Client
	out    *history.Writer
	lastOp atomic.Int64
	shared []*session.Session
}

// begin records that a call is about to be made. Deadline is that of ctx.
func (w *Worker) begin(ctx context.Context, op history.Op) *history.Op {
	op.Who, op.ID, op.Recipe = w.cfg.Who, w.lastOp.Add(1), w.recipe
	op.Call = history.Now()
	if at, ok := ctx.Deadline(); ok {
		op.Deadline = op.Call.Add(time.Until(at))
	}
	w.out.Write(history.Record{Called: &op})
	return &op
}

// end records what the call came to. A ctx that was cancelled, as all are at the run's end, was over at cancelled.
func (p *process) end(ctx context.Context, op *history.Op, result string, err error) {
	op.Return, op.Result = history.Now(), result
	if err != nil {
		op.Err = err.Error()
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		if at, ok := context.Cause(ctx).(stopped); ok { //nolint:errorlint // it is the cause itself
			op.Deadline = at.at
		}
	}
	p.out.Write(history.Record{Op: op})
}

// stopped is the cause of the end of all that a client does.
type stopped struct{ at history.Time }

func (stopped) Error() string { return "the run is over" }

// pick draws one of all.
func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// name is the lock to use: a third of the time the one that everybody wants.
func (w *Worker) name() string {
	if w.cfg.Names == 1 || w.Rand.IntN(3) == 0 {
		return "hot"
	}
	return fmt.Sprintf("n/%d", w.Rand.IntN(w.cfg.Names-1))
}

// sleep is false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// think is the time between a look and what is done then.
func (w *Worker) think(ctx context.Context) {
	sleep(ctx, pick(w.Rand, 0, time.Millisecond, 10*time.Millisecond, 50*time.Millisecond))
}

// upTo draws a duration of less than d, or 0.
func (w *Worker) upTo(d time.Duration) time.Duration { return upTo(w.Rand, d) }

func upTo(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(r.Int64N(max(1, int64(d))))
}
