package line

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Release gives the places back. It tries until ctx ends and may be called again then. ErrNotThere says that one of them was not its
// own any more; the others were given back.
func (e *Entry) Release(ctx context.Context) error {
	e.closeOwn()
	var own []clientv3.Cmp
	var all, each []clientv3.Op
	for _, key := range e.granted {
		del := keep.Delete(key.Name)
		own, all = append(own, key.Is()), append(all, del)
		each = append(each, clientv3.OpTxn([]clientv3.Cmp{key.Is()}, []clientv3.Op{del}, nil))
	}
	all, each = append(all, e.unmark()...), append(each, e.unmark()...)
	return e.gone(retry.Until(ctx, func(ctx context.Context) error {
		resp, err := e.line.keeper.Txn(ctx, own, all, each)
		switch {
		case err != nil:
			e.asked = e.asked || !retry.NotApplied(err)
			return err
		case !resp.Succeeded:
			return e.notThere()
		}
		return nil
	}))
}

// gone takes what giving back the places has come to.
func (e *Entry) gone(err error) error {
	if err == nil || errors.Is(err, keep.ErrNotThere) {
		e.line.hasLeft()
	}
	return err
}

// withdraw leaves a line with places. A claim without an answer may have been granted before, or somebody may have appointed the entry:
// then the places are given back.
func (e *Entry) withdraw(ctx context.Context) error {
	leave := e.giveUp
	if e.head {
		leave = e.Pass
	}
	err := leave(ctx)
	if err != nil && !errors.Is(err, keep.ErrNotThere) || err == nil && !e.claiming && !e.asked {
		return err
	}
	given := retry.Until(ctx, func(ctx context.Context) error {
		_, err := e.survey(ctx)
		return err
	})
	switch {
	case errors.Is(given, errGranted):
		e.asked = false
		return e.Release(ctx)
	case errors.Is(given, ErrRemoved):
		return err
	}
	return given // it is not known yet
}

// Exchange gives back the one place that it has and takes the one called name, in one Txn: nobody gets in between. ErrNotThere says that it
// was not there any more. When it fails otherwise either place may be held: Drop.
func (e *Entry) Exchange(ctx context.Context, name string) error {
	old, g := e.granted[0], e.grantee()
	then := []clientv3.Op{keep.Delete(old.Name, clientv3.WithPrevKV()), g.Put(name)}
	return retry.Until(ctx, func(ctx context.Context) error {
		resp, err := e.line.keeper.Txn(ctx, []clientv3.Cmp{old.Is(), absent(g.Key(name))}, then, []clientv3.Op{clientv3.OpGet(g.Key(name))})
		switch {
		case err != nil:
			return e.lease.Refused(err)
		case resp.Succeeded:
			e.granted = []keep.Key{{Name: g.Key(name), Rev: resp.Header.Revision}}
			for _, kv := range resp.Responses[0].GetResponseDeleteRange().PrevKvs {
				if string(kv.Key) == keep.RevokeKey(old.Name) {
					e.wish = kv
				}
			}
		case !e.has(resp.Responses[0].GetResponseRange().Kvs): // an earlier request without an answer has done it
			return keep.ErrNotThere
		}
		return nil
	})
}

// Drop gives back whatever place it has, when it doesn't know which. Once the old one is gone no exchange can be done any more, so that what
// is read then is all that there will be.
func (e *Entry) Drop(ctx context.Context) error {
	old := e.granted[0]
	then, find := []clientv3.Op{keep.Delete(old.Name)}, clientv3.OpGet(e.line.prefix+places, clientv3.WithPrefix())
	return e.gone(retry.Until(ctx, func(ctx context.Context) error {
		resp, err := e.line.keeper.Txn(ctx, []clientv3.Cmp{old.Is()}, append(then, e.unmark()...), []clientv3.Op{find})
		if err != nil || resp.Succeeded || !e.has(resp.Responses[0].GetResponseRange().Kvs) {
			return err
		}
		return e.Release(ctx)
	}))
}

// unmark deletes the mark on its entry, if somebody else has left one: it goes with the places.
func (e *Entry) unmark() []clientv3.Op {
	if !e.appointed {
		return nil
	}
	return []clientv3.Op{clientv3.OpDelete(e.key())}
}
