package line

import (
	"context"
	"errors"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// perTxn is how many marks are deleted in one Txn, of the 128 operations that etcd allows.
const perTxn = 60

// bury deletes, in the background, the marks that this entry moved past. Nobody else will.
func (e *Entry) bury() {
	dead := e.dead
	e.dead = nil
	if len(dead) > 0 {
		e.line.keeper.Go(e.lease, func(ctx context.Context) { e.line.delete(ctx, dead) })
	}
}

// delete deletes marks. That is safe at any time: whoever still stands behind one asks history.
func (ln *Line) delete(ctx context.Context, marks []keep.Key) {
	for len(marks) > 0 {
		n := min(len(marks), perTxn)
		ops := make([]clientv3.Op, n)
		for i, key := range marks[:n] {
			ops[i] = clientv3.OpTxn([]clientv3.Cmp{key.Is()}, []clientv3.Op{clientv3.OpDelete(key.Name)}, nil)
		}
		_ = retry.Until(ctx, func(ctx context.Context) error { // what is left goes with the leases of who left it
			_, err := ln.keeper.Txn(ctx, nil, ops, nil)
			return err
		})
		marks = marks[n:]
	}
}

var errJoined = errors.New("somebody has come or gone meanwhile")

// tidy has tail name the last that is alive, or nobody, and deletes the marks behind that one. Waiters that give up at the same time
// call for it: the one may put tail back to the other when that has left already.
func (ln *Line) tidy(ctx context.Context) error {
	var marks []keep.Key
	err := retry.Until(ctx, func(ctx context.Context) error {
		resp, err := ln.keeper.Txn(ctx, nil, []clientv3.Op{
			clientv3.OpGet(ln.tail()),
			clientv3.OpGet(ln.prefix+"e/", clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		}, nil)
		if err != nil {
			return err
		}
		last, dead := ln.lastAlive(resp.Responses[1].GetResponseRange().Kvs)
		marks = dead
		return ln.putBack(ctx, one(resp, 0), last)
	})
	if err == nil {
		ln.delete(ctx, marks)
	}
	return err
}

// lastAlive is the youngest live entry, nil if there is none, and the marks that are younger.
func (ln *Line) lastAlive(keys []*mvccpb.KeyValue) (last *mvccpb.KeyValue, marks []keep.Key) {
	entries := slices.DeleteFunc(keys, func(kv *mvccpb.KeyValue) bool { return entryID(ln.prefix, kv) == "" })
	for _, kv := range entries {
		if live(kv) && (last == nil || kv.CreateRevision > last.CreateRevision) {
			last = kv
		}
	}
	for _, kv := range entries {
		if !live(kv) && (last == nil || kv.CreateRevision > last.CreateRevision) {
			marks = append(marks, markKey(kv))
		}
	}
	return last, marks
}

// putBack has tail, as it was read, name last: nobody has joined since, or tail would have been written.
func (ln *Line) putBack(ctx context.Context, tail, last *mvccpb.KeyValue) error {
	if tail == nil {
		return nil
	}
	same := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(ln.tail()), "=", tail.ModRevision)}
	op := clientv3.OpDelete(ln.tail())
	if last != nil {
		id := string(last.Key[len(ln.prefix+"e/"):])
		if id == string(tail.Value) {
			return nil
		}
		same = append(same, clientv3.Compare(clientv3.ModRevision(string(last.Key)), "=", last.ModRevision))
		op = clientv3.OpPut(ln.tail(), id)
	}
	resp, err := ln.keeper.Txn(ctx, same, []clientv3.Op{op}, nil)
	if err == nil && !resp.Succeeded {
		return errJoined
	}
	return err
}
