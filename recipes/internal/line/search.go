package line

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// steps is how far back history is asked before a scan is cheaper: in a busy line whose dead left no marks, tail may have been
// written without end.
const steps = 16

// search finds out who is in front, from etcd's history of tail.
func (e *Entry) search(ctx context.Context) error {
	rev := e.rev - 1
	for range steps {
		kv, err := e.line.keeper.GetOne(ctx, e.line.tail(), clientv3.WithRev(rev))
		switch {
		case errors.Is(err, rpctypes.ErrCompacted):
			return e.scan(ctx)
		case err != nil:
			return err
		case kv == nil:
			return e.first(ctx)
		}
		found, err := e.try(ctx, string(kv.Value))
		if found || err != nil {
			return err
		}
		rev = kv.ModRevision - 1
	}
	return e.scan(ctx)
}

// try looks whether id is still in front, or has passed the head on.
func (e *Entry) try(ctx context.Context, id string) (found bool, err error) {
	kv, err := e.line.keeper.GetOne(ctx, e.line.entry(id))
	switch {
	case err != nil || kv == nil:
		return false, err
	case live(kv):
		e.pred = id
		return true, nil
	}
	if readMark(kv).State == passed {
		e.after = id
		return true, e.first(ctx)
	}
	// Where a gone mark points is not followed here: if that one is gone as well the search would begin again, and meet the same mark.
	e.toBury(markKey(kv))
	return false, nil
}

// scan reads the names of all entries that joined before this one: the youngest live one is in front. The marks between are for this
// one to bury: nobody stands there to do it.
func (e *Entry) scan(ctx context.Context) error {
	all := e.line.prefix + "e/"
	resp, err := e.line.keeper.Get(ctx, all, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithMaxCreateRev(e.rev-1))
	if err != nil {
		return err
	}
	last, marks := e.line.lastAlive(resp.Kvs)
	e.toBury(marks...)
	if last == nil {
		return e.first(ctx)
	}
	e.pred = string(last.Key[len(all):])
	return nil
}

// first is the head, if the own entry stands as it was written, and the lock isn't kept: nobody alive is in front.
func (e *Entry) first(ctx context.Context) error {
	if !e.line.placed {
		e.front = true
		_, err := e.lookKept(ctx)
		return err
	}
	kv, err := e.line.keeper.GetOne(ctx, e.line.entry(e.id))
	if err != nil {
		return err
	}
	if kv == nil || kv.ModRevision != e.rev {
		return e.out(ctx, kv)
	}
	e.head = true
	return nil
}
