package keep

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Txn is a transaction of etcd's that commits only while the hold's keys are its own. Package session documents it.
func (h *Hold) Txn(ctx context.Context) clientv3.Txn {
	return &guarded{hold: h, ctx: ctx}
}

type guarded struct {
	hold *Hold
	ctx  context.Context // a transaction lasts from Txn to Commit
	ifs  []clientv3.Cmp
	then []clientv3.Op
	els  []clientv3.Op
}

func (t *guarded) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.ifs = append(t.ifs, cs...)
	return t
}

func (t *guarded) Then(ops ...clientv3.Op) clientv3.Txn {
	t.then = append(t.then, ops...)
	return t
}

func (t *guarded) Else(ops ...clientv3.Op) clientv3.Txn {
	t.els = append(t.els, ops...)
	return t
}

// Commit sends it once: its operations are the user's own, and may not be safe to repeat.
func (t *guarded) Commit() (*clientv3.TxnResponse, error) {
	h := t.hold
	if err := t.refused(); err != nil {
		return nil, err
	}
	ctx, cancel := h.lease.keeper.Bound(t.ctx, h.lease)
	defer cancel()
	resp, err := h.lease.keeper.Txn(ctx, h.guards(), t.guardedOps(), nil)
	switch {
	case err != nil && retry.NotApplied(err):
		return nil, fmt.Errorf("%s: txn: %w", h.what, err)
	case err != nil:
		return nil, fmt.Errorf("%s: txn: %w: %w", h.what, ErrUnknownOutcome, err)
	case !resp.Succeeded:
		h.lose(taken)
		return nil, context.Cause(h.ctx)
	}
	return t.answer(resp), nil
}

// refused is why there is no point in sending it.
func (t *guarded) refused() error {
	if t.ctx == nil {
		return fmt.Errorf("%s: txn: the context is nil", t.hold.what)
	}
	if t.ctx.Err() != nil {
		return fmt.Errorf("%s: txn: %w", t.hold.what, retry.Why(t.ctx))
	}
	return t.hold.Err()
}

func (h *Hold) guards() []clientv3.Cmp {
	cmps := make([]clientv3.Cmp, len(h.keys))
	for i, key := range h.keys {
		cmps[i] = key.Is()
	}
	return cmps
}

// guardedOps puts the user's own conditions one level deeper, so that theirs and the guard can be told apart.
func (t *guarded) guardedOps() []clientv3.Op {
	if len(t.ifs) == 0 {
		return t.then
	}
	return []clientv3.Op{clientv3.OpTxn(t.ifs, t.then, t.els)}
}

func (t *guarded) answer(resp *clientv3.TxnResponse) *clientv3.TxnResponse {
	if len(t.ifs) == 0 {
		return resp
	}
	inner := resp.Responses[0].GetResponseTxn()
	return &clientv3.TxnResponse{Header: resp.Header, Succeeded: inner.Succeeded, Responses: inner.Responses}
}
