package line

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A Line is a line in etcd, seen from one session.
type Line struct {
	keeper *keep.Keeper
	prefix string
	placed bool
	terms  Terms // of those who acquire a lock by it

	// For one acquisition in a line with places (Leaving):
	left  func() // nil: nobody asks
	later bool   // the background finds out whether it has left
}

// New is the line under prefix, which ends with '/'.
func New(k *keep.Keeper, prefix string) *Line {
	return &Line{keeper: k, prefix: prefix}
}

func (ln *Line) tail() string            { return ln.prefix + "tail" }
func (ln *Line) entry(id string) string  { return ln.prefix + "e/" + id }
func (ln *Line) voided(id string) string { return ln.prefix + "x/" + id }

// ErrHeld is what TryJoin returns when somebody is in front.
var ErrHeld = errors.New("held")

// ErrRemoved says that somebody else has taken the entry out of the line.
var ErrRemoved = keep.ErrRemoved

// Join stands in line, at its end. It tries until ctx ends (a ctx of Keeper.Bound) and leaves nothing behind when it fails:
// what it doesn't know it has found out in the background.
func (ln *Line) Join(ctx context.Context, lease *keep.Lease, d Details) (*Entry, error) {
	return ln.join(ctx, lease, d, func(ctx context.Context, e *Entry) (bool, error) {
		resp, err := ln.keeper.Txn(ctx, ln.unused(e.id), e.joining(), nil)
		if err != nil || !resp.Succeeded {
			return false, err
		}
		e.joinedBy(resp)
		return true, nil
	})
}

// joining puts the entry at the end of the line. Of a lock it reads whether that is kept, in case nobody is in line.
func (e *Entry) joining() []clientv3.Op {
	ops := []clientv3.Op{
		clientv3.OpPut(e.key(), encode(e.details), clientv3.WithLease(e.lease.ID())),
		clientv3.OpPut(e.line.tail(), e.id, clientv3.WithPrevKV()),
	}
	if e.line.placed {
		return ops
	}
	return append(ops, clientv3.OpGet(e.line.prefix+kept, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(1)))
}

// joinedBy takes the answer to joining.
func (e *Entry) joinedBy(resp *clientv3.TxnResponse) {
	e.joined(resp.Header.Revision, resp.Responses[1].GetResponsePut().PrevKv)
	if !e.line.placed && one(resp, 2) != nil && e.head {
		e.head, e.front = false, true
	}
}

// unused compares that id was neither taken nor voided.
func (ln *Line) unused(id string) []clientv3.Cmp {
	return []clientv3.Cmp{absent(ln.entry(id)), absent(ln.voided(id))}
}

func absent(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
}

// join calls send with fresh ids until one is known to stand in line, or to have its place. send is false without an error if etcd refused the id, which
// happens when an earlier copy of the same request has been there.
func (ln *Line) join(ctx context.Context, lease *keep.Lease, d Details, send func(context.Context, *Entry) (bool, error)) (*Entry, error) {
	var entry *Entry
	err := retry.Until(ctx, func(ctx context.Context) error {
		e := &Entry{line: ln, lease: lease, id: uuid.NewString(), details: d}
		ok, err := send(ctx, e)
		if err != nil && retry.NotApplied(err) {
			return lease.Refused(err)
		}
		if !ok {
			ok, err = ln.resolveOr(ctx, e, err)
		}
		if ok {
			entry = e
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return entry, nil
}

var errVoid = errors.New("no answer to a join, which was made void")

// resolveOr finds out what became of a join without an answer. If ctx ends first that is done in the background, and what is
// found there is given up.
func (ln *Line) resolveOr(ctx context.Context, e *Entry, sendErr error) (adopted bool, err error) {
	adopted, err = ln.resolve(ctx, e)
	switch {
	case adopted:
		return true, nil
	case err == nil:
		return false, errors.Join(errVoid, sendErr) // temporary: join again
	}
	ln.resolveLater(e)
	return false, err
}

// resolveLater finds out for nobody, for as long as the lease lasts.
func (ln *Line) resolveLater(e *Entry) {
	known := false
	ln.finish(e.lease, func(ctx context.Context) error {
		if !known {
			found, err := ln.resolve(ctx, e)
			if err != nil || !found {
				return err
			}
			known = true
			if e.granted == nil { // whoever knows who is in front can leave without a mark; otherwise it leaves one
				_, _ = e.settle(ctx)
				e.bury()
			}
		}
		return e.GiveUp(ctx)
	})
}

// finish leaves in the background, for as long as the lease lasts.
func (ln *Line) finish(lease *keep.Lease, leave func(ctx context.Context) error) (done <-chan struct{}) {
	if ln.left != nil { // it is one acquisition's own
		ln.later = true
	}
	return ln.keeper.Finish(lease, "leave the line "+ln.prefix, func(ctx context.Context) error {
		err := leave(ctx)
		if err == nil || errors.Is(err, keep.ErrNotThere) {
			ln.hasLeft()
		}
		return err
	})
}

// resolve makes id void, unless it stands in line or has its place: then that is adopted. It tries until ctx ends.
func (ln *Line) resolve(ctx context.Context, e *Entry) (adopted bool, err error) {
	void := clientv3.OpPut(ln.voided(e.id), "", clientv3.WithLease(e.lease.ID()))
	find := ln.finding(e)
	err = retry.Until(ctx, func(ctx context.Context) error {
		resp, err := ln.keeper.Txn(ctx, []clientv3.Cmp{absent(ln.entry(e.id))}, append([]clientv3.Op{void}, find...), find)
		full := err
		if errors.Is(err, rpctypes.ErrNoSpace) { // etcd takes no Put: it can't be made void, but it may be there
			resp, err = ln.keeper.Txn(ctx, nil, find, nil)
		}
		if err != nil {
			return e.lease.Refused(err)
		}
		if adopted = e.found(resp); adopted {
			return nil
		}
		return full
	})
	return adopted, err
}

// finding reads what may have become of a request.
func (ln *Line) finding(e *Entry) []clientv3.Op {
	find := []clientv3.Op{clientv3.OpGet(e.key())}
	if ln.placed {
		find = append(find, clientv3.OpGet(ln.prefix+places, clientv3.WithPrefix()))
	}
	return find
}

// found adopts what finding has read, at the end of resp. It is false if there is nothing.
func (e *Entry) found(resp *clientv3.TxnResponse) bool {
	read := resp.Responses[len(resp.Responses)-len(e.line.finding(e)):]
	own := read[0].GetResponseRange().Kvs
	if len(read) > 1 && e.has(read[1].GetResponseRange().Kvs) {
		e.appointed = len(own) > 0 && len(readMark(own[0]).Places) > 0
		return true
	}
	if len(own) > 0 {
		e.adopt(own[0])
	}
	return len(own) > 0
}

// Head joins, and waits for the head. It leaves nothing behind when it fails.
func (ln *Line) Head(ctx context.Context, lease *keep.Lease, d Details) (*Entry, error) {
	e, err := ln.Join(ctx, lease, d)
	if err != nil {
		return nil, err
	}
	for {
		err := e.Wait(ctx)
		if err == nil {
			err = e.arm(ctx)
		}
		switch {
		case errors.Is(err, errKept):
			continue
		case err != nil:
			e.Abandon()
			return nil, err
		}
		return e, nil
	}
}

// HeldError tells who is in front, as far as one look at the end of the line can.
type HeldError struct {
	Last   Details // of the last in line, who may be waiting
	Placed bool    // it is of one who has a place
	Kept   bool    // it is of a former holder, after whom the lock is kept
}

func (*HeldError) Error() string { return ErrHeld.Error() }

// Is makes it an ErrHeld.
func (*HeldError) Is(target error) bool { return target == ErrHeld }

// TryJoin stands in line only if that is at the head; otherwise the error Is ErrHeld. With nobody in line it takes one Txn.
func (ln *Line) TryJoin(ctx context.Context, lease *keep.Lease, d Details) (*Entry, error) {
	e, err := ln.tryJoin(ctx, lease, d)
	if err != nil {
		return nil, err
	}
	if err := e.arm(ctx); err != nil {
		e.Abandon()
		if errors.Is(err, errKept) {
			return nil, &HeldError{Kept: true}
		}
		return nil, err
	}
	return e, nil
}

func (ln *Line) tryJoin(ctx context.Context, lease *keep.Lease, d Details) (*Entry, error) {
	e, last, err := ln.joinEmpty(ctx, lease, d)
	if e != nil || err != nil {
		return e, err
	}
	kv, err := ln.keeper.GetOne(ctx, ln.entry(last))
	switch {
	case err != nil:
		return nil, err
	case live(kv):
		return nil, &HeldError{Last: readDetails(kv)}
	}
	if e, err = ln.Join(ctx, lease, d); err != nil {
		return nil, err
	}
	return e.headOrGiveUp(ctx)
}

// errInLine says that there is a tail.
var errInLine = errors.New("somebody is in line, or was")

// joinEmpty joins if there is no tail, and the lock isn't kept. Otherwise it returns the id that tail names.
func (ln *Line) joinEmpty(ctx context.Context, lease *keep.Lease, d Details) (entry *Entry, last string, err error) {
	entry, err = ln.join(ctx, lease, d, func(ctx context.Context, e *Entry) (bool, error) {
		ifs := append(ln.unused(e.id), absent(ln.tail()), ln.unkept())
		resp, err := ln.keeper.Txn(ctx, ifs, e.joining(), []clientv3.Op{clientv3.OpGet(ln.tail()), clientv3.OpGet(ln.entry(e.id)), ln.getKept()})
		if err != nil {
			return false, err
		}
		if resp.Succeeded {
			e.joined(resp.Header.Revision, nil)
			return true, nil
		}
		tail, own, by := one(resp, 0), one(resp, 1), one(resp, 2)
		switch {
		case own == nil && tail != nil:
			last = string(tail.Value)
			return false, retry.Settled(errInLine)
		case own == nil && by != nil:
			return false, retry.Settled(&HeldError{Last: readDetails(by), Kept: true})
		}
		return false, nil // an earlier copy of this very request has been there
	})
	if errors.Is(err, errInLine) {
		return nil, last, nil
	}
	return entry, "", err
}

// headOrGiveUp finds out who is in front, and gives up if somebody is, unless it was given its places meanwhile.
func (e *Entry) headOrGiveUp(ctx context.Context) (*Entry, error) {
	defer e.bury()
	var inFront *mvccpb.KeyValue
	err := retry.Until(ctx, func(ctx context.Context) (err error) {
		inFront, err = e.settle(ctx)
		if err == nil && e.front {
			inFront, err = e.lookKept(ctx)
		}
		return err
	})
	if err == nil && inFront == nil || errors.Is(err, errGranted) {
		return e, nil
	}
	e.Abandon()
	if err != nil {
		return nil, err
	}
	return nil, &HeldError{Last: readDetails(inFront), Kept: e.front}
}
