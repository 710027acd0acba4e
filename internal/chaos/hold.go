package chaos

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
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
	shared bool // it reads, and others may as well
	err    func() error
	ctx    context.Context
	txn    func(ctx context.Context) clientv3.Txn // nil: there is none
	watch  sync.WaitGroup
	done   chan struct{}
	belief history.Belief

	// byContext holders never call Err, which notices by itself that a lease has run out, and so trust the context alone.
	byContext bool
}

// held is what the recipes hand out. It is asked each time, so that it would be noticed if what is behind it were exchanged.
type held interface {
	Context() context.Context
	Err() error
	Claims() []fencing.Claim
	Txn(ctx context.Context) clientv3.Txn
	Release(ctx context.Context) error
}

// hold begins to look at a hold.
func (w *Worker) hold(h held) *holding { return w.holdOne(h, 0) }

// holdOne is hold for the i-th claim of it.
func (w *Worker) holdOne(h held, i int) *holding {
	claim := h.Claims()[i]
	token, _ := claim.Token.Int64()
	return w.observe(&holding{name: nameOf(claim), token: token, key: claim.Key, shared: claim.Mode == fencing.Shared, err: h.Err, ctx: h.Context(), txn: h.Txn})
}

// holdIn is hold for what a context carries.
func (w *Worker) holdIn(ctx context.Context) (*holding, error) {
	c, err := fencing.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	token, _ := c.Token.Int64()
	return w.observe(&holding{name: nameOf(c), token: token, key: c.Key, shared: c.Mode == fencing.Shared, err: c.Err, ctx: ctx}), nil
}

// nameOf is the name of what is held: of several that one waits for together, it is known only then.
func nameOf(c fencing.Claim) string {
	_, name, _ := strings.Cut(c.Resource, "/")
	return name
}

// got records that op has acquired h.
func (h *holding) got(ctx context.Context, op *history.Op) {
	op.Name, op.Token, op.Key, op.Shared = h.name, h.token, h.key, h.shared
	h.end(ctx, op, history.OK, nil)
}

// op is a call under the hold.
func (h *holding) op(kind string) history.Op {
	return history.Op{Kind: kind, Name: h.name, Token: h.token, Key: h.key, Shared: h.shared}
}

func (w *Worker) observe(h *holding) *holding {
	h.Worker, h.done = w, make(chan struct{})
	h.byContext = w.cfg.ByContext || (w.cfg.Client+w.cfg.Life)%3 == 0 // all of a life's, since one that calls Err ends the others' as well
	if h.byContext {
		h.txn = nil // it calls Err as well
	}
	at := history.Now()
	h.belief = history.Belief{
		Who: w.cfg.Who, Recipe: w.recipe, Name: h.name, Token: h.token, Key: h.key, Shared: h.shared, From: at, Err: at, Context: at,
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
	op := h.begin(ctx, h.op(kind))
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
	op := h.begin(ctx, h.op(history.Write))
	resp, err := h.txn(ctx).Then(clientv3.OpPut(dataOf(h.recipe)+h.name, check.Stamp(h.token, *op))).Commit()
	if err == nil {
		op.Rev = resp.Header.Revision
	}
	h.end(ctx, op, outcome(err), err)
}

// read reads it.
func (h *holding) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	op := h.begin(ctx, h.op(history.Fetch))
	resp, err := h.txn(ctx).Then(clientv3.OpGet(dataOf(h.recipe) + h.name)).Commit()
	if err == nil {
		op.Rev = resp.Header.Revision
		for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
			op.Value = string(kv.Value)
		}
	}
	h.end(ctx, op, outcome(err), err)
}

// outcome is what a call came to that is sent once.
func outcome(err error) string {
	switch {
	case err == nil:
		return history.OK
	case errors.Is(err, session.ErrUnknownOutcome):
		return history.Unknown
	default:
		return history.Fail
	}
}

// store writes to the store outside etcd, or reads there.
func (h *holding) store(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	op := h.begin(ctx, h.op(history.Store))
	result, err := sendToStore(ctx, h.cfg.Store, storeWrite{h.recipe + "/" + h.name, h.token, h.shared})
	h.end(ctx, op, result, err)
}

// dataPrefix is where holders write.
const dataPrefix = "/chaos/data/"

// dataOf is where those of one recipe do.
func dataOf(recipe string) string { return dataPrefix + recipe + "/" }

// act is one thing that holders do: look, think, and write somewhere, or read.
func (h *holding) act(ctx context.Context) {
	if !h.believes(ctx) {
		return
	}
	h.think(ctx)
	switch {
	case h.txn == nil || h.Rand.IntN(4) == 0:
		h.store(ctx)
	default:
		h.useEtcd(ctx)
	}
}

// useEtcd does what the hold is for.
func (h *holding) useEtcd(ctx context.Context) {
	if h.shared {
		h.read(ctx)
	} else {
		h.write(ctx)
	}
}
