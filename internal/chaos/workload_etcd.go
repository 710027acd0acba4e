package chaos

import (
	"context"
	"errors"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
)

// etcdMutex is the mutex of etcd's own client. It is here to be found unsafe: a harness that lets it pass proves nothing.
type etcdMutex struct{}

const mutexRoot = "/chaos/mutex/"

// Place implements Workload.
func (etcdMutex) Place(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, mutexRoot)
	if !ok {
		return "", false
	}
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return "", false
	}
	return rest[:i], true
}

// Judge implements Workload.
func (m etcdMutex) Judge(h *history.History) *check.Verdict {
	return check.Judge(h, check.Layout{Entry: m.Place, Data: dataOf("etcd"), Reused: true})
}

// Tidy implements Workload.
func (etcdMutex) Tidy(context.Context, *Admin) (string, error) { return mutexRoot, nil }

// Work implements Workload.
func (m etcdMutex) Work(ctx context.Context, w *Worker) {
	for ctx.Err() == nil {
		s, err := m.session(ctx, w)
		if err != nil {
			sleep(ctx, 100*time.Millisecond)
			continue
		}
		for ctx.Err() == nil && open(s) {
			m.lock(ctx, w, s)
			sleep(ctx, w.upTo(2*w.cfg.Pause+1))
		}
		_ = s.Close()
	}
}

func (etcdMutex) session(ctx context.Context, w *Worker) (*concurrency.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	lease, err := w.etcd.Grant(ctx, int64(w.cfg.TTL/time.Second))
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(w.etcd, concurrency.WithLease(lease.ID))
}

var errSessionDone = errors.New("the session is done")

func open(s *concurrency.Session) bool {
	select {
	case <-s.Done():
		return false
	default:
		return true
	}
}

func (m etcdMutex) lock(ctx context.Context, w *Worker, s *concurrency.Session) {
	wait, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	op := w.begin(wait, history.Op{Kind: history.Acquire, Name: w.name()})
	mu := concurrency.NewMutex(s, mutexRoot+op.Name)
	if err := mu.Lock(wait); err != nil {
		w.end(wait, op, history.Fail, err)
		return
	}
	op.Return = history.Now() // that it held by then is all that etcd promises
	held := &holding{name: op.Name, key: mu.Key(), txn: func(ctx context.Context) clientv3.Txn {
		return w.etcd.Txn(ctx).If(mu.IsOwner())
	}}
	held.err = func() error {
		if !open(s) {
			return errSessionDone
		}
		return nil
	}
	held.ctx = s.Ctx()
	if resp, err := w.etcd.Get(wait, mu.Key()); err == nil && len(resp.Kvs) > 0 {
		held.token = resp.Kvs[0].CreateRevision // the type does not tell it
	}
	op.Token, op.Key = held.token, held.key
	w.end(wait, op, history.OK, nil)
	h := w.observe(held)
	h.work(ctx)
	h.stop()
	w.release(h, mu.Unlock)
}
