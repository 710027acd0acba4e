package chaos

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// lookEvery is how often a belief is looked at.
const lookEvery = 4 * time.Millisecond

// requestTime is how long a client waits for a request under a hold.
const requestTime = 2 * time.Second

// A holding is a hold with an eye on whether its holder believes in it.
type holding struct {
	*Worker
	name   string
	token  int64
	key    string
	err    func() error
	ctx    context.Context
	txn    func(ctx context.Context) clientv3.Txn // nil: there is none
	watch  sync.WaitGroup
	done   chan struct{}
	belief history.Belief

	// byContext holders never call Err, which notices by itself that a lease has run out, and so trust the context alone.
	byContext bool
}

// hold begins to look at a hold that was acquired by op. It asks the hold each time, so that it would notice if that were exchanged.
func (w *Worker) hold(op *history.Op, held *lock.Held) *holding {
	token, _ := held.Token().Int64()
	return w.observe(&holding{
		name: op.Name, token: token, key: held.Claims()[0].Key,
		err: func() error { return held.Err() },
		ctx: held.Context(),
		txn: func(ctx context.Context) clientv3.Txn { return held.Txn(ctx) },
	})
}

// holdIn is hold for what a context carries.
func (w *Worker) holdIn(op *history.Op, ctx context.Context) (*holding, error) { //nolint:revive // ctx is what it is about
	c, err := fencing.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	token, _ := c.Token.Int64()
	return w.observe(&holding{name: op.Name, token: token, key: c.Key, err: c.Err, ctx: ctx}), nil
}

func (w *Worker) observe(h *holding) *holding {
	h.Worker, h.done = w, make(chan struct{})
	h.byContext = w.cfg.ByContext || (w.cfg.Client+w.cfg.Life)%3 == 0 // all of a life's, since one that calls Err ends the others' as well
	if h.byContext {
		h.txn = nil // it calls Err as well
	}
	at := history.Now()
	h.belief = history.Belief{
		Who: w.cfg.Who, Recipe: w.cfg.Workload, Name: h.name, Token: h.token, Key: h.key, From: at, Err: at, Context: at,
	}
	h.watch.Go(h.look)
	return h
}

// look goes on until the release is about to begin, also after a loss, which must stay one.
func (h *holding) look() {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	lost := false
	for {
		at := history.Now() // before it is looked at: then it was still so
		var err error
		if !h.byContext {
			err = h.err()
		}
		open := h.ctx.Err() == nil
		switch {
		case h.byContext:
		case errors.Is(err, session.ErrLost):
			lost = true
		case err == nil && lost && h.belief.Revived == 0:
			h.belief.Revived = at
		}
		if err == nil && !h.byContext {
			h.belief.Err = at
		}
		if open {
			h.belief.Context = at
		}
		select {
		case <-t.C:
		case <-h.done:
			return
		}
	}
}

// stop ends the looking, before the release, and records what was believed.
func (h *holding) stop() {
	close(h.done)
	h.watch.Wait()
	if cause := context.Cause(h.ctx); cause != nil {
		h.belief.Cause = cause.Error()
	}
	h.out.Write(history.Record{Belief: &h.belief})
}

// believes looks at the hold, as a call of its own.
func (h *holding) believes(ctx context.Context) bool {
	kind := history.Check
	if h.byContext {
		kind = history.Context
	}
	op := h.begin(ctx, history.Op{Kind: kind, Name: h.name, Token: h.token})
	err := context.Cause(h.ctx)
	if !h.byContext {
		err = h.err()
	}
	if err != nil {
		h.end(ctx, op, history.Fail, err)
		return false
	}
	h.end(ctx, op, history.OK, nil)
	return true
}

// write writes a key of etcd's as the holder, whatever the holder believes by then.
func (h *holding) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	op := h.begin(ctx, history.Op{Kind: history.Write, Name: h.name, Token: h.token})
	resp, err := h.txn(ctx).Then(clientv3.OpPut(dataPrefix+h.name, check.Stamp(h.token, *op))).Commit()
	switch {
	case err == nil:
		op.Rev = resp.Header.Revision
		h.end(ctx, op, history.OK, nil)
	case errors.Is(err, session.ErrUnknownOutcome):
		h.end(ctx, op, history.Unknown, err)
	default:
		h.end(ctx, op, history.Fail, err)
	}
}

// store writes to the store outside etcd.
func (h *holding) store(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	op := h.begin(ctx, history.Op{Kind: history.Store, Name: h.name, Token: h.token})
	result, err := sendToStore(ctx, h.cfg.Store, h.name, h.token)
	h.end(ctx, op, result, err)
}

// dataPrefix is where holders write.
const dataPrefix = "/chaos/data/"

// act is one thing that holders do: look, think, and write somewhere.
func (h *holding) act(ctx context.Context) {
	if !h.believes(ctx) {
		return
	}
	h.think(ctx)
	if h.txn == nil || h.Rand.IntN(4) == 0 {
		h.store(ctx)
		return
	}
	h.write(ctx)
}
