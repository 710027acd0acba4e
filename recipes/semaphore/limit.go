package semaphore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

const (
	// MaxLimit is the largest limit.
	MaxLimit = 1000
	// MaxAtOnce is how many permits one acquisition can have: each takes up to two of the 128 operations that etcd allows in a transaction.
	MaxAtOnce = 60
)

// record is what stands at p/limit: four digits, so that etcd can compare it, and the rest in JSON.
type record struct {
	limit int
	detail
}

type detail struct {
	At     time.Time    `json:"at"` // when it was set, by the wall clock of who did
	Spread *SpreadLimit `json:"spread,omitempty"`
}

// A SpreadLimit says that at most so many permits are held by sessions with the same value of a label.
type SpreadLimit struct {
	Label string `json:"label"`
	Most  int    `json:"most"`
}

// digits is a number as etcd compares it.
func digits(n int) string { return fmt.Sprintf("%04d", n) }

func (r record) encode() string {
	b, err := json.Marshal(r.detail)
	if err != nil {
		panic(err) // strings, numbers and times of our own
	}
	return digits(r.limit) + " " + string(b)
}

func parseRecord(value string) (r record, err error) {
	number, rest, ok := strings.Cut(value, " ")
	if r.limit, err = strconv.Atoi(number); err != nil || !ok || number != digits(r.limit) || r.limit < 0 || r.limit > MaxLimit {
		return record{}, fmt.Errorf("the limit's record can't be read: %q", value)
	}
	if err := json.Unmarshal([]byte(rest), &r.detail); err != nil {
		return record{}, fmt.Errorf("the limit's record can't be read: %w", err)
	}
	return r, nil
}

// same reports whether there is no difference in what they say.
func (r record) same(other record) bool {
	if r.limit != other.limit || (r.Spread == nil) != (other.Spread == nil) {
		return false
	}
	return r.Spread == nil || *r.Spread == *other.Spread
}

// SetLimit says how many permits the semaphore has, from now on and for everybody: at most 1,000. It may be called at any time, by anybody; the
// last call counts. Raising the limit lets those in who wait. Lowering it takes nothing from anybody: nobody is let in until enough permits have
// come back. With 0 the semaphore is closed: whoever asks waits. A request that waits and is larger than the new limit leaves with a *LimitError
// when its turn comes.
//
// How the permits are spread (Spread, NoSpread) stays as it is if no option says otherwise.
//
// It takes 2 requests, and 1 if nothing is to change: each process may call it when it starts. It does not wait for etcd longer than 5 s: then
// the error Is session.ErrUnavailable, or session.ErrUnknownOutcome if it may have been done. A name that is a durable semaphore's gives ErrDurable.
func SetLimit(ctx context.Context, client *clientv3.Client, name string, n int, opts ...ClientOption) error {
	set := asked(opts)
	prefix, err := calls.Prefix(ctx, client, kind, name, set.reading())
	if err != nil {
		return err
	}
	if n < 0 || n > MaxLimit {
		return fmt.Errorf("semaphore %q: set limit %d: it is from 0 to %d", name, n, MaxLimit)
	}
	if err := set.check(); err != nil {
		return fmt.Errorf("semaphore %q: set limit: %w", name, err)
	}
	ctx, cancel := calls.Limit(ctx)
	defer cancel()
	w := &limitWriter{kv: client.KV, prefix: prefix, limit: n, set: set}
	err = retry.Until(ctx, w.attempt)
	switch {
	case err != nil && w.unanswered:
		return fmt.Errorf("semaphore %q: set limit: %w: %w", name, session.ErrUnknownOutcome, err)
	case err != nil:
		return fmt.Errorf("semaphore %q: set limit: %w", name, err)
	}
	return nil
}

// limitWriter writes a limit's record.
type limitWriter struct {
	kv         clientv3.KV
	prefix     string
	limit      int
	set        settings
	unanswered bool // a write was sent, and nobody knows what became of it
}

var errChanged = errors.New("somebody else has set it meanwhile")

// attempt reads the record and replaces what it has read, so that a late copy of its request does nothing to a later record.
func (w *limitWriter) attempt(ctx context.Context) error {
	old, rev, err := w.read(ctx)
	if err != nil {
		return err
	}
	now := record{limit: w.limit, detail: detail{At: time.Now().UTC(), Spread: old.Spread}}
	if w.set.spread != nil || w.set.noSpread {
		now.Spread = w.set.spread
	}
	if now.same(old) {
		w.unanswered = false
		return nil
	}
	ifs := []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(w.prefix+durableKey), "=", 0),
		clientv3.Compare(clientv3.ModRevision(line.PlaceKey(w.prefix, limitName)), "=", rev),
	}
	resp, err := w.kv.Txn(clientv3.WithRequireLeader(ctx)).If(ifs...).Then(w.writes(now)...).Commit()
	if err != nil {
		err = retry.Answer(ctx, err)
		w.unanswered = w.unanswered || !retry.NotApplied(err)
		return err
	}
	w.unanswered = w.unanswered && !resp.Succeeded
	if !resp.Succeeded {
		return errChanged
	}
	return nil
}

// writes puts the record, and says whether whoever takes a slot must look at all of them first (see the package's comment).
func (w *limitWriter) writes(now record) []clientv3.Op {
	look := line.PlaceKey(w.prefix, lookName)
	put := clientv3.OpPut(line.PlaceKey(w.prefix, limitName), now.encode())
	if now.Spread != nil {
		return []clientv3.Op{put, clientv3.OpPut(look, "")}
	}
	above := []clientv3.Cmp{noneFrom(w.prefix, now.limit)}
	return []clientv3.Op{put, clientv3.OpTxn(above, []clientv3.Op{clientv3.OpDelete(look)}, []clientv3.Op{clientv3.OpPut(look, "")})}
}

// noneFrom compares that no slot from the i-th on is taken.
func noneFrom(prefix string, i int) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(line.PlaceKey(prefix, slotName(i))), "=", 0).
		WithRange(clientv3.GetPrefixRangeEnd(line.PlaceKey(prefix, slots)))
}

// read is the record, and the revision at which it was written, 0 if there is none. What there isn't, or can't be read, is like no other.
func (w *limitWriter) read(ctx context.Context) (r record, rev int64, err error) {
	r.limit = -1
	gets := []clientv3.Op{clientv3.OpGet(line.PlaceKey(w.prefix, limitName)), clientv3.OpGet(w.prefix+durableKey, clientv3.WithCountOnly())}
	resp, err := w.kv.Txn(clientv3.WithRequireLeader(ctx)).Then(gets...).Commit()
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
	if old, err := parseRecord(string(kvs[0].Value)); err == nil {
		r = old
	}
	return r, kvs[0].ModRevision, nil
}
