package line

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// An Entry is one participant's place in a line. It belongs to one goroutine at a time.
type Entry struct {
	line    *Line
	lease   *keep.Lease
	id      string
	details Details
	rev     int64 // of the join; for the lock, whose head is the holder, the token

	head   bool
	front  bool        // nobody alive is in front, but the lock may be kept after a former holder
	pred   string      // whom it stands behind; "" if that has to be searched, or nobody is in front
	after  string      // the passed mark of whom it got the head from
	dead   []keep.Key  // marks that it moved past, except after
	own    *keep.Watch // on its own entry, or nil
	beside bool        // something was put beside the own entry: its watch has been read
	asked  bool        // a request to leave was sent and not answered
	all    *Set        // that it is the first of, if it stands in several lines at once

	armed  *arming // what it has written so that the lock is kept after it, or may have
	held   bool    // it has held the lock, and gives it back
	census *keep.Poll
	told   bool // how many were ahead
	ahead  int

	// For a line with places:
	granted   []keep.Key       // the places that it has
	letIn     bool             // the predecessor's mark says so; the own one is on its way
	appointed bool             // somebody else gave them to it, and left a mark on its entry
	claiming  bool             // a request for them was sent and not answered
	wish      *mvccpb.KeyValue // for the place that it had before (Exchange)

	read map[string][]*mvccpb.KeyValue // by the Txn that let it in
}

// joined takes the answer to a join: prev is what tail was before.
func (e *Entry) joined(rev int64, prev *mvccpb.KeyValue) {
	e.rev = rev
	if e.head = prev == nil; !e.head {
		e.pred = string(prev.Value)
	}
}

// adopt takes an entry that was found, as etcd has it. If somebody has written to it since, waiting or passing on will tell.
func (e *Entry) adopt(kv *mvccpb.KeyValue) { e.rev = kv.CreateRevision }

// Key is the entry's key and the revision at which it joined.
func (e *Entry) Key() keep.Key { return keep.Key{Name: e.line.entry(e.id), Rev: e.rev} }

// TakeWatch hands over the watch on the own entry, if one is open.
func (e *Entry) TakeWatch() []*keep.Watch {
	if e.beside {
		e.closeOwn() // the hold opens one of its own, and reads what stands there
	}
	if e.own == nil {
		return nil
	}
	w := e.own
	e.own = nil
	return []*keep.Watch{w}
}

// Wait returns when the entry is at the head (or was given its places without that), or when ctx (of Keeper.Bound) ends. ErrRemoved says
// that somebody else took it out.
func (e *Entry) Wait(ctx context.Context) error {
	if e.head || e.granted != nil {
		return nil
	}
	defer e.bury()
	defer e.count()()
	known := e.pred != "" // the predecessor was alive a moment ago
	for !e.head && e.granted == nil {
		err := retry.Until(ctx, func(ctx context.Context) error { // each time with short pauses again
			if !known {
				if _, err := e.settle(ctx); err != nil || e.head {
					return err
				}
			}
			known = false
			wait := e.behind
			if e.front {
				wait = e.free
			}
			err := wait(ctx)
			if errors.Is(err, errLookAgain) { // not all waiters of a session at one time
				return retry.Sleep(ctx, retry.Jitter(ctx, lookAgainWithin))
			}
			return err
		})
		if err != nil && !errors.Is(err, errGranted) {
			return err
		}
	}
	return nil
}

// settle moves past those who have left, until a live one is in front, which it returns, or nobody is. At the head it
// asks nothing.
func (e *Entry) settle(ctx context.Context) (inFront *mvccpb.KeyValue, err error) {
	for !e.head && !e.front {
		if e.pred == "" {
			if err := e.search(ctx); err != nil {
				return nil, err
			}
			continue
		}
		kv, err := e.line.keeper.GetOne(ctx, e.line.entry(e.pred))
		if err != nil {
			return nil, err
		}
		if live(kv) {
			return kv, nil
		}
		e.past(kv)
	}
	return nil, nil
}

// past takes what became of the predecessor; nil stands for a key that is gone.
func (e *Entry) past(kv *mvccpb.KeyValue) {
	left := e.pred
	e.pred = ""
	if kv == nil {
		return
	}
	m := readMark(kv)
	if m.State == passed {
		e.head, e.front, e.after = !m.Kept, m.Kept, left
		return
	}
	e.toBury(markKey(kv))
	e.pred = m.Behind
}

// toBury notes marks that this entry has moved past.
func (e *Entry) toBury(marks ...keep.Key) {
	for _, mark := range marks {
		if !slices.Contains(e.dead, mark) {
			e.dead = append(e.dead, mark)
		}
	}
}

func markKey(kv *mvccpb.KeyValue) keep.Key {
	return keep.Key{Name: string(kv.Key), Rev: kv.ModRevision}
}

// errLookAgain says that a watch has ended, after which states tell.
var errLookAgain = errors.New("look again")

const lookAgainWithin = 100 * time.Millisecond

// lookWithin bounds one read.
const lookWithin = 5 * time.Second

// behind stands behind the predecessor until that one has left.
func (e *Entry) behind(ctx context.Context) error {
	k, pred, own := e.line.keeper, e.line.entry(e.pred), e.line.entry(e.id)
	again := k.Reread(pred, own)
	defer again.Stop()
	if err := e.watchOwn(ctx); err != nil {
		return err
	}
	w, err := k.Watch(ctx, pred)
	if err != nil {
		return err
	}
	defer w.Close()
	// Both watches are open: what this read doesn't see comes as an event.
	resp, err := k.Txn(ctx, nil, []clientv3.Op{clientv3.OpGet(pred), clientv3.OpGet(own), keep.AnyBeside(own)}, nil)
	if err != nil {
		return err
	}
	e.beside = e.beside || resp.Responses[2].GetResponseRange().Count > 0
	if left, err := e.look(ctx, one(resp, 0), one(resp, 1)); left || err != nil {
		return err
	}
	for {
		select {
		case resp, ok := <-w.C:
			if left, err := e.heard(ctx, resp, ok); left || err != nil {
				return err
			}
		case resp, ok := <-e.own.C:
			if err := e.heardOwn(ctx, resp, ok); err != nil {
				return err
			}
		case revs := <-e.counted():
			e.tell(revs)
		case states := <-again.C:
			if left, err := e.look(ctx, states[0], states[1]); left || err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("waiting in line: %w", context.Cause(ctx))
		}
	}
}

func one(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

func (e *Entry) watchOwn(ctx context.Context) (err error) {
	if e.own == nil {
		e.own, err = e.line.keeper.WatchOwn(ctx, e.line.entry(e.id))
	}
	return err
}

// look takes both entries as one read shows them.
func (e *Entry) look(ctx context.Context, pred, own *mvccpb.KeyValue) (left bool, err error) {
	if own == nil || own.ModRevision != e.rev {
		return false, e.out(ctx, own)
	}
	if live(pred) {
		return false, nil
	}
	e.past(pred)
	return true, nil
}

// heard takes events of the predecessor's entry. What is known to have happened to the own entry comes first.
func (e *Entry) heard(ctx context.Context, resp clientv3.WatchResponse, ok bool) (left bool, err error) {
	if !ok || resp.Err() != nil {
		return false, errLookAgain
	}
	for _, ev := range resp.Events {
		if e.letIn || ev.Type == clientv3.EventTypePut && live(ev.Kv) {
			continue
		}
		if e.letIn = ev.Type == clientv3.EventTypePut && readMark(ev.Kv).With; e.letIn {
			continue
		}
		select {
		case own, ok := <-e.own.C:
			if err := e.heardOwn(ctx, own, ok); err != nil {
				return false, err
			}
		default:
		}
		if ev.Type == clientv3.EventTypeDelete {
			e.past(nil)
		} else {
			e.past(ev.Kv)
		}
		return true, nil
	}
	return false, nil
}

func (e *Entry) heardOwn(ctx context.Context, resp clientv3.WatchResponse, ok bool) error {
	if !ok || resp.Err() != nil {
		e.closeOwn()
		return errLookAgain
	}
	for _, ev := range resp.Events {
		switch {
		case string(ev.Kv.Key) != e.key():
			e.beside = true
		case ev.Kv.ModRevision <= e.rev:
		case ev.Type == clientv3.EventTypeDelete:
			return e.out(ctx, nil)
		default:
			return e.out(ctx, ev.Kv)
		}
	}
	return nil
}

// out says why the own entry is not what it was: it was given its places, somebody has removed it, or its lease has ended. kv is what
// stands there now.
func (e *Entry) out(ctx context.Context, kv *mvccpb.KeyValue) error {
	if err := e.given(ctx, kv); err != nil {
		return err
	}
	if kv != nil {
		e.toBury(markKey(kv))
		return removedBy(kv)
	}
	switch err := e.lease.Verify(ctx); {
	case err == nil:
		return ErrRemoved
	case errors.Is(err, keep.ErrLost):
		return err
	}
	if err := e.lease.Err(); errors.Is(err, keep.ErrLost) {
		return err // somebody else has found out, and that ended ctx
	}
	return fmt.Errorf("the own entry is gone, and etcd does not say whether the lease is: %w", errLookAgain)
}

func (e *Entry) closeOwn() {
	if e.own != nil {
		e.own.Close()
		e.own = nil
	}
}

// soon is how long an acquisition that failed waits for its entry to go.
const soon = 150 * time.Millisecond

// Abandon gives up in the background, for as long as the lease lasts, whatever etcd answers. It waits a moment for that, so that in the usual case
// nothing is left when the caller hears of it.
func (e *Entry) Abandon() {
	e.closeOwn()
	done := e.line.finish(e.lease, e.GiveUp) // or the lease ends, and the entry with it
	t := time.NewTimer(soon)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
