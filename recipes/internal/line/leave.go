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

// perTxn is how many gone marks are deleted in one Txn, of the 128 operations that etcd allows.
const perTxn = 60

// Pass passes the head on: to whoever is next, or to nobody. It tries until ctx ends and may be called again then. ErrNotThere
// says that the entry was not in the line any more, and that nothing was done.
func (e *Entry) Pass(ctx context.Context) error {
	e.closeOwn()
	del := []clientv3.Op{clientv3.OpDelete(e.key())}
	behind := []clientv3.Op{clientv3.OpPut(e.key(), encode(mark{State: passed, At: time.Now()}), clientv3.WithLease(e.lease.ID()))}
	if e.after != "" {
		// Ended and never written again but to be deleted, so its name is enough.
		bury := clientv3.OpDelete(e.line.entry(e.after))
		del, behind = append(del, bury), append(behind, bury)
	}
	alone := append([]clientv3.Op{clientv3.OpDelete(e.line.tail())}, del...)
	return e.leave(ctx, e.ifLast(alone, behind), e.ifLast(alone, del))
}

// GiveUp leaves the line before the head is reached. It tries until ctx ends and may be called again then.
func (e *Entry) GiveUp(ctx context.Context) error {
	if e.head {
		return e.Pass(ctx)
	}
	e.closeOwn()
	del := clientv3.OpDelete(e.key())
	left := clientv3.OpPut(e.key(), encode(mark{State: gone, At: time.Now(), Behind: e.pred}), clientv3.WithLease(e.lease.ID()))
	if e.pred == "" {
		return e.leave(ctx, left, del)
	}
	back := []clientv3.Op{clientv3.OpPut(e.line.tail(), e.pred), del}
	return e.leave(ctx, e.ifLast(back, []clientv3.Op{left}), del)
}

func (e *Entry) key() string { return e.line.entry(e.id) }

// ifLast does one thing if nobody has joined behind, and another if somebody has.
func (e *Entry) ifLast(last, otherwise []clientv3.Op) clientv3.Op {
	return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(e.line.tail()), "=", e.id)}, last, otherwise)
}

// leave ends the entry by op, or by bare when etcd is out of space and takes deletes only.
func (e *Entry) leave(ctx context.Context, op, bare clientv3.Op) error {
	own := []clientv3.Cmp{e.Key().Is()}
	return retry.Until(ctx, func(ctx context.Context) error {
		resp, err := e.line.keeper.Txn(ctx, own, []clientv3.Op{op}, nil)
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
}

// notThere: if a request before this one had no answer it was that one which ended the entry; otherwise it was somebody else.
func (e *Entry) notThere() error {
	if e.asked {
		return nil
	}
	return keep.ErrNotThere
}

// bury deletes, in the background, the marks that this entry moved past. Nobody else will.
func (e *Entry) bury() {
	dead, k := e.dead, e.line.keeper
	e.dead = nil
	if len(dead) == 0 {
		return
	}
	k.Go(e.lease, func(ctx context.Context) {
		for len(dead) > 0 {
			n := min(len(dead), perTxn)
			ops := make([]clientv3.Op, n)
			for i, key := range dead[:n] {
				ops[i] = clientv3.OpTxn([]clientv3.Cmp{key.Is()}, []clientv3.Op{clientv3.OpDelete(key.Name)}, nil)
			}
			_ = retry.Until(ctx, func(ctx context.Context) error { // what is left goes with the leases of who left it
				_, err := k.Txn(ctx, nil, ops, nil)
				return err
			})
			dead = dead[n:]
		}
	})
}
