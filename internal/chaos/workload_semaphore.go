package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// semaphores is the workload of few semaphores, whose limits change all the time. Each slot is a name of its own: "pool/1#3".
type semaphores struct{}

const semaphoreRoot = "/stile/v1/semaphore/"

// Place implements Workload.
func (s semaphores) Place(key string) (string, bool) {
	if name, ok := s.slot(key); ok {
		return semaphoreOf(name), true
	}
	name, _, ok := s.line(key)
	return name, ok
}

// Waits implements Queued.
func (s semaphores) Waits(key string) bool {
	_, _, ok := s.line(key)
	return ok
}

// Handed implements Queued.
func (semaphores) Handed(string) bool { return false }

func (semaphores) slot(key string) (name string, ok bool) {
	name, number, ok := cutKey(semaphoreRoot, "/p/s/", key)
	n, err := strconv.Atoi(number)
	return fmt.Sprintf("%s#%d", name, n), ok && err == nil
}

func (semaphores) line(key string) (name, id string, ok bool) {
	return cutKey(semaphoreRoot, "/e/", key)
}

func (semaphores) limit(key string) (name string, ok bool) {
	name, rest, ok := cutKey(semaphoreRoot, "/p/", key)
	return name, ok && rest == "limit"
}

func semaphoreOf(slot string) string {
	name, _, _ := strings.Cut(slot, "#")
	return name
}

// Judge implements Workload.
func (s semaphores) Judge(h *history.History) *check.Verdict {
	places := &check.Places{Line: s.line, Queue: semaphoreOf, Limit: s.limit}
	return check.Judge(h, check.Layout{Recipe: "semaphore", Entry: s.slot, Data: dataOf("semaphore"), Reused: true, Places: places, Sets: true})
}

// Tidy implements Workload. Limits stay until somebody deletes them.
func (semaphores) Tidy(ctx context.Context, a *Admin) (string, error) {
	_, err := semaphore.List(ctx, a.etcd) // it sweeps the tails that crashes have left
	keys, e := a.below(ctx, semaphoreRoot)
	err = errors.Join(err, e)
	for _, key := range keys {
		if strings.HasSuffix(key, "/p/limit") || strings.HasSuffix(key, "/p/look") {
			_, e := a.etcd.Delete(ctx, key)
			err = errors.Join(err, e)
		}
	}
	return "/stile/", err
}

// Work implements Workload.
func (s semaphores) Work(ctx context.Context, w *Worker) {
	for ctx.Err() == nil {
		ses, name := pick(w.Rand, w.shared...), fmt.Sprintf("pool/%d", w.Rand.IntN(3))
		switch w.Rand.IntN(20) {
		case 0, 1:
			s.resize(ctx, w, name)
		case 2, 3:
			s.acquire(ctx, w, ses, name, history.Try, 1+w.Rand.IntN(2), tryTime, try)
		case 4, 5:
			w.do(ctx, ses, name, func(ctx context.Context, ses *session.Session, name string, work func(context.Context) error) error {
				return semaphore.Do(ctx, ses, name, 1, work)
			})
		case 6, 7, 8:
			s.acquire(ctx, w, ses, name, history.Acquire, 2+w.Rand.IntN(2), w.patience(), acquire)
		default:
			s.acquire(ctx, w, ses, name, history.Acquire, 1, w.patience(), acquire)
		}
		sleep(ctx, w.upTo(2*w.cfg.Pause+1))
	}
}

func acquire(ctx context.Context, s *session.Session, name string, n int) (*semaphore.Permit, error) {
	return semaphore.Acquire(ctx, s, name, n)
}

func try(ctx context.Context, s *session.Session, name string, n int) (*semaphore.Permit, error) {
	return semaphore.TryAcquire(ctx, s, name, n)
}

// largest is the largest limit.
const largest = 5

// resize sets a limit. Nobody can wait for what is larger than any.
func (semaphores) resize(ctx context.Context, w *Worker, name string) {
	bound, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	op := w.begin(bound, history.Op{Kind: history.Resize, Name: name})
	err := semaphore.SetLimit(bound, w.etcd, name, 1+w.Rand.IntN(largest))
	w.end(bound, op, outcome(err), err)
}

func (s semaphores) acquire(ctx context.Context, w *Worker, ses *session.Session, name, kind string, n int, patience time.Duration,
	get func(ctx context.Context, ses *session.Session, name string, n int) (*semaphore.Permit, error),
) {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ops := w.beginAll(wait, kind, slices.Repeat([]string{name}, n))
	p, err := get(wait, ses, name, n)
	if err != nil {
		for _, op := range ops {
			w.end(wait, op, history.Fail, err)
		}
		if errors.Is(err, semaphore.ErrNoLimit) {
			s.resize(ctx, w, name)
		}
		return
	}
	holdings := make([]*holding, n)
	for i, op := range ops {
		holdings[i] = w.holdOne(p, i)
		holdings[i].got(wait, op)
	}
	w.useAll(ctx, holdings, p.Release)
}
