package line

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Pass passes the head on: to whoever is next, or to nobody. It tries until ctx ends and may be called again then. ErrNotThere
// says that the entry was not in the line any more, and that nothing was done.
func (e *Entry) Pass(ctx context.Context) error {
	e.closeOwn()
	pass, bare := e.passing()
	_, err := e.leave(ctx, pass, bare)
	switch {
	case err == nil:
		e.disarmed()
	case errors.Is(err, keep.ErrNotThere):
		e.taken()
	}
	return err
}

// passing passes the head on; bare does so without a Put.
func (e *Entry) passing() (pass, bare clientv3.Op) {
	del := append([]clientv3.Op{keep.Delete(e.key())}, e.unkeep()...)
	behind := []clientv3.Op{clientv3.OpPut(e.key(), encode(mark{State: passed, At: time.Now(), Kept: e.keepsOn()}), clientv3.WithLease(e.lease.ID()))}
	if !e.line.placed {
		behind = append(append(behind, keep.DeleteBeside(e.key())), e.unkeep()...)
	}
	if e.after != "" {
		// Ended and never written again but to be deleted, so its name is enough.
		bury := clientv3.OpDelete(e.line.entry(e.after))
		del, behind = append(del, bury), append(behind, bury)
	}
	alone := append([]clientv3.Op{clientv3.OpDelete(e.line.tail())}, del...)
	return e.ifLast(alone, behind), e.ifLast(alone, del)
}

// leading leaves with a mark that says that those behind are let in by the same Txn. It is deleted with the place.
func (e *Entry) leading() []clientv3.Op {
	m := mark{State: granted, At: time.Now(), Places: []string{e.details.Want}, With: true}
	ops := []clientv3.Op{clientv3.OpPut(e.key(), encode(m), clientv3.WithLease(e.lease.ID()))}
	if e.after != "" {
		ops = append(ops, clientv3.OpDelete(e.line.entry(e.after)))
	}
	return ops
}

// GiveUp leaves the line before the head is reached, and tidies it up if that leaves tail naming nobody alive. It tries until ctx ends
// and may be called again then.
func (e *Entry) GiveUp(ctx context.Context) error {
	switch {
	case e.all != nil:
		return e.all.giveUp(ctx)
	case e.granted != nil:
		return e.Release(ctx)
	case e.head && !e.line.placed:
		return e.Pass(ctx)
	case e.line.placed:
		return e.withdraw(ctx)
	}
	return e.giveUp(ctx)
}

func (e *Entry) giveUp(ctx context.Context) error {
	e.closeOwn()
	resp, err := e.leave(ctx, e.parting(), clientv3.OpDelete(e.key()))
	if (err == nil || errors.Is(err, keep.ErrNotThere)) && e.strands(resp) {
		_ = e.line.tidy(ctx) // what can't be done now is the next joiner's, or the sweep's
	}
	return err
}

// parting is how a waiter leaves. In the same step it looks whom tail names then.
func (e *Entry) parting() clientv3.Op {
	left := clientv3.OpPut(e.key(), encode(mark{State: gone, At: time.Now(), Behind: e.pred}), clientv3.WithLease(e.lease.ID()))
	if e.pred == "" {
		return e.ifLast([]clientv3.Op{left}, []clientv3.Op{left})
	}
	back := clientv3.OpPut(e.line.tail(), e.pred)
	return e.ifLast([]clientv3.Op{back, clientv3.OpDelete(e.key()), clientv3.OpGet(e.line.entry(e.pred))}, []clientv3.Op{left})
}

// strands reports whether the line was left with a tail that names nobody alive; without an answer it may have been.
func (e *Entry) strands(resp *clientv3.TxnResponse) bool {
	if resp == nil {
		return true
	}
	inner := resp.Responses[0].GetResponseTxn()
	if !inner.Succeeded || e.pred == "" {
		return inner.Succeeded
	}
	pred := inner.Responses[2].GetResponseRange().Kvs
	return len(pred) == 0 || !live(pred[0])
}

func (e *Entry) key() string { return e.line.entry(e.id) }

// ifLast does one thing if nobody has joined behind, and another if somebody has.
func (e *Entry) ifLast(last, otherwise []clientv3.Op) clientv3.Op {
	return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(e.line.tail()), "=", e.id)}, last, otherwise)
}

// leave ends the entry by op, or by bare when etcd is out of space and takes deletes only. It returns the answer to op, nil if there
// was none.
func (e *Entry) leave(ctx context.Context, op, bare clientv3.Op) (answer *clientv3.TxnResponse, err error) {
	own := []clientv3.Cmp{e.Key().Is()}
	err = retry.Until(ctx, func(ctx context.Context) error {
		resp, err := e.line.keeper.Txn(ctx, own, []clientv3.Op{op}, nil)
		if err == nil && resp.Succeeded {
			answer = resp
		}
		if errors.Is(err, rpctypes.ErrNoSpace) {
			resp, err = e.line.keeper.Txn(ctx, own, []clientv3.Op{bare}, nil)
		}
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			_ = e.lease.Refused(err)
			return e.notThere()
		case err != nil:
			e.asked = e.asked || !retry.NotApplied(err)
			return err
		case !resp.Succeeded:
			return e.notThere()
		}
		return nil
	})
	return answer, err
}

// notThere: if a request before this one had no answer it was that one which ended the entry; otherwise it was somebody else.
func (e *Entry) notThere() error {
	if e.asked {
		return nil
	}
	return keep.ErrNotThere
}
