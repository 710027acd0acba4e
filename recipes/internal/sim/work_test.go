package sim

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// grace is how much longer than its ctx a call may take.
const grace = 250 * time.Millisecond

// work is what one goroutine of a process does, until the process ends.
func (p *process) work(name string) {
	w := p.world
	defer w.enroll(name)()
	for sleep(p.ctx, w.around(2*time.Second, name, "think"), w.ctx) {
		on := w.names[w.below(len(w.names), name, "on")]
		ctx, cancel := context.WithTimeout(p.ctx, w.between(time.Second, 60*time.Second, name, "patience"))
		switch what := w.below(10, name, "what"); {
		case what < 5:
			p.acquire(ctx, name, on)
		case what < 7:
			p.try(ctx, name, on)
		default:
			p.do(ctx, name, on)
		}
		cancel()
	}
}

// within checks that call ends with ctx, or allowed after it.
func (p *process) within(ctx context.Context, name, what string, allowed time.Duration, call func()) {
	w := p.world
	w.calling(name, what)
	defer w.calling(name, "")
	var ended atomic.Pointer[time.Time]
	stop := context.AfterFunc(ctx, func() { at := time.Now(); ended.Store(&at) })
	call()
	stop()
	if at := ended.Load(); at != nil && time.Since(*at) > allowed+grace {
		w.isWrong("late", "%s: %s went on for %v after its ctx", p.name, what, time.Since(*at))
	}
}

// calling notes what the worker waits for; "" is nothing.
func (w *world) calling(name, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if what == "" {
		delete(w.calls, name)
		return
	}
	w.calls[name] = what
}

func (p *process) acquire(ctx context.Context, name, on string) {
	var held *lock.Held
	var err error
	p.within(ctx, name, "acquire", 0, func() { held, err = lock.Acquire(ctx, p.session, on) })
	p.took("acquire", err)
	if err == nil {
		p.hold(held, name, on)
	}
}

const tryTimeout = 5 * time.Second

func (p *process) try(ctx context.Context, name, on string) {
	var held *lock.Held
	var err error
	began := time.Now()
	p.within(ctx, name, "try", 0, func() { held, err = lock.TryAcquire(ctx, p.session, on) })
	if took := time.Since(began); took > tryTimeout+grace {
		p.world.isWrong("late", "%s: TryAcquire took %v", p.name, took)
	}
	p.took("try", err)
	if err == nil {
		p.hold(held, name, on)
	}
}

func (p *process) took(what string, err error) {
	w := p.world
	switch {
	case err == nil:
		w.count(what)
	case errors.Is(err, lock.ErrHeld):
		w.count(what + ": held")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		w.count(what + ": ctx")
	default:
		w.count(what + ": other error")
	}
}

// hold is a while of holding, with writes.
func (p *process) hold(held *lock.Held, name, on string) {
	w := p.world
	h := w.believes(held.Context(), p, on)
	for end := time.Now().Add(w.lasts(name)); held.Context().Err() == nil && time.Now().Before(end); {
		_, err := held.Txn(p.ctx).Then(clientv3.OpPut(dataPrefix+on, held.Token().String())).Commit()
		if err == nil {
			w.count("fenced write")
		} else {
			w.count("fenced write refused")
		}
		if !sleep(held.Context(), time.Millisecond+w.between(0, time.Until(end), name, "between writes"), p.ctx, w.ctx) {
			break
		}
	}
	w.forget(h)
	ctx, cancel := context.WithTimeout(context.Background(), w.between(0, 2*time.Second, name, "release"))
	defer cancel()
	var err error
	p.within(ctx, name, "release", cleanup, func() { err = held.Release(ctx) })
	w.released(h, err)
}

// lasts is how long something is held: mostly not long, sometimes beyond all leases.
func (w *world) lasts(name string) time.Duration {
	if w.chance(w.long, name, "long") {
		return w.between(w.ttl, 3*w.ttl, name, "lasts")
	}
	return w.around(time.Second, name, "lasts")
}

func (p *process) do(ctx context.Context, name, on string) {
	w := p.world
	ran := false
	var err error
	p.within(ctx, name, "do", cleanup+w.ttl, func() {
		err = lock.Do(ctx, p.session, on, func(ctx context.Context) error {
			ran = true
			h := w.believes(ctx, p, on)
			defer w.forget(h)
			sleep(ctx, w.lasts(name), p.ctx, w.ctx)
			return nil
		})
	})
	p.took("do", err)
	if err != nil && ran && errors.Is(err, session.ErrLost) {
		w.count("do: lost")
	}
}

// released counts how a release went. After one that is known to have worked nothing of the hold is left.
func (w *world) released(h *holding, err error) {
	switch {
	case err == nil:
		w.count("release")
	case errors.Is(err, session.ErrLost):
		w.count("release: lost")
	case errors.Is(err, session.ErrUnknownOutcome):
		w.count("release: unknown")
	default:
		w.count("release: " + fmt.Sprintf("%.30s", err))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.line(h.on).live[h.token] != nil {
		w.violated("release", "%s released %s with token %d, and still has it", h.by.name, h.on, h.token)
	}
}

func tokenIn(ctx context.Context) (fencing.Claim, int64) {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		panic(err)
	}
	rev, _ := claim.Token.Int64()
	return claim, rev
}
