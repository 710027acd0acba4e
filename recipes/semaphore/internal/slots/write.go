package slots

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A Writer writes a limit's record.
type Writer struct {
	KV       clientv3.KV
	Prefix   string
	Limit    int
	Spread   *Spread // nil: as it is
	NoSpread bool    // none

	Unanswered bool // a write was sent, and nobody knows what became of it
}

var errChanged = errors.New("somebody else has set it meanwhile")

// Attempt reads the record and replaces what it has read, so that a late copy of its request does nothing to a later record.
func (w *Writer) Attempt(ctx context.Context) error {
	old, rev, err := w.read(ctx)
	if err != nil {
		return err
	}
	now := Record{Limit: w.Limit, detail: detail{At: time.Now().UTC(), Spread: old.Spread}}
	if w.Spread != nil || w.NoSpread {
		now.Spread = w.Spread
	}
	if now.same(old) {
		w.Unanswered = false
		return nil
	}
	ifs := []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(w.Prefix+DurableKey), "=", 0),
		clientv3.Compare(clientv3.ModRevision(line.PlaceKey(w.Prefix, LimitName)), "=", rev),
	}
	resp, err := w.KV.Txn(clientv3.WithRequireLeader(ctx)).If(ifs...).Then(w.writes(now)...).Commit()
	if err != nil {
		err = retry.Answer(ctx, err)
		w.Unanswered = w.Unanswered || !retry.NotApplied(err)
		return err
	}
	w.Unanswered = w.Unanswered && !resp.Succeeded
	if !resp.Succeeded {
		return errChanged
	}
	return nil
}

// writes puts the record, and says whether whoever takes a slot must look at all of them first (see the package's comment).
func (w *Writer) writes(now Record) []clientv3.Op {
	look := line.PlaceKey(w.Prefix, lookName)
	put := clientv3.OpPut(line.PlaceKey(w.Prefix, LimitName), now.encode())
	if now.Spread != nil {
		return []clientv3.Op{put, clientv3.OpPut(look, "")}
	}
	above := []clientv3.Cmp{noneFrom(w.Prefix, now.Limit)}
	return []clientv3.Op{put, clientv3.OpTxn(above, []clientv3.Op{clientv3.OpDelete(look)}, []clientv3.Op{clientv3.OpPut(look, "")})}
}

// noneFrom compares that no slot from the i-th on is taken.
func noneFrom(prefix string, i int) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(line.PlaceKey(prefix, Name(i))), "=", 0).
		WithRange(clientv3.GetPrefixRangeEnd(line.PlaceKey(prefix, slots)))
}

// read is the record, and the revision at which it was written, 0 if there is none. What there isn't, or can't be read, is like no other.
func (w *Writer) read(ctx context.Context) (r Record, rev int64, err error) {
	r.Limit = -1
	gets := []clientv3.Op{clientv3.OpGet(line.PlaceKey(w.Prefix, LimitName)), clientv3.OpGet(w.Prefix+DurableKey, clientv3.WithCountOnly())}
	resp, err := w.KV.Txn(clientv3.WithRequireLeader(ctx)).Then(gets...).Commit()
	if err != nil {
		return r, 0, retry.Answer(ctx, err)
	}
	if resp.Responses[1].GetResponseRange().Count > 0 {
		return r, 0, retry.Settled(ErrDurable)
	}
	kvs := resp.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 {
		return r, 0, nil
	}
	if old, err := Parse(string(kvs[0].Value)); err == nil {
		r = old
	}
	return r, kvs[0].ModRevision, nil
}
