package line

import (
	"context"
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

func (e *Entry) grantee() Grantee {
	return Grantee{ID: e.id, Lease: e.lease.ID(), prefix: e.line.prefix, value: encode(placeValue{e.id, e.details})}
}

// Granted are the places that it has, each with the revision that gave it: the token.
func (e *Entry) Granted() []keep.Key { return e.granted }

// Wish is what somebody had asked of the hold that was exchanged, nil if nothing is known.
func (e *Entry) Wish() *mvccpb.KeyValue { return e.wish }

// A Get is Acquire or TryAcquire.
type Get func(ln *Line, ctx context.Context, lease *keep.Lease, d Details, want Want) (*Entry, error)

// Acquire gets what want says: at once if it is free and nobody waits, which takes one Txn, and otherwise in its turn. It tries until ctx
// ends (a ctx of Keeper.Bound) and leaves nothing behind when it fails: what it doesn't know it has found out in the background.
func (ln *Line) Acquire(ctx context.Context, lease *keep.Lease, d Details, want Want) (*Entry, error) {
	e, err := ln.acquire(ctx, lease, d, want)
	return e, ln.failed(err)
}

func (ln *Line) acquire(ctx context.Context, lease *keep.Lease, d Details, want Want) (*Entry, error) {
	e, err := ln.join(ctx, lease, d, func(ctx context.Context, e *Entry) (bool, error) {
		return e.enter(ctx, want, e.door(want), nil)
	})
	if err != nil {
		return nil, err
	}
	if s, ok := want.(Stander); ok && e.granted == nil {
		defer s.Stands(ctx, e)()
	}
	err = e.reach(ctx, want)
	e.closeOwn()
	if err != nil {
		e.Abandon()
		return nil, err
	}
	return e, nil
}

// TryAcquire gets what want says if it is free and nobody waits; otherwise the error is a *HeldError. With nobody in line it takes one Txn.
func (ln *Line) TryAcquire(ctx context.Context, lease *keep.Lease, d Details, want Want) (*Entry, error) {
	e, err := ln.tryAcquire(ctx, lease, d, want)
	return e, ln.failed(err)
}

func (ln *Line) tryAcquire(ctx context.Context, lease *keep.Lease, d Details, want Want) (*Entry, error) {
	var held *ran
	e, err := ln.join(ctx, lease, d, func(ctx context.Context, e *Entry) (bool, error) {
		look := func(bool) clientv3.Op { return ln.looking() }
		return e.enter(ctx, want, look, func(read *ran) error {
			held = read
			return retry.Settled(ErrHeld)
		})
	})
	if held == nil {
		return e, err
	}
	tail := held.gets[ln.tail()]
	if len(tail) == 0 {
		return nil, ln.heldBy(held)
	}
	switch kv, err := ln.keeper.GetOne(ctx, ln.entry(string(tail[0].Value))); {
	case err != nil:
		return nil, err
	case live(kv):
		return nil, &HeldError{Last: readDetails(kv)}
	}
	return ln.tryInLine(ctx, lease, d, want) // who stood there last has left without removing tail
}

// heldBy tells of one who is in a place.
func (ln *Line) heldBy(read *ran) error {
	held := &HeldError{}
	for _, kv := range read.gets[ln.prefix+places] {
		if v := readPlace(kv); v.ID != "" {
			held.Last, held.Placed = v.Details, true
		}
	}
	return held
}

// tryInLine joins, and gives up if the place isn't to be had at once.
func (ln *Line) tryInLine(ctx context.Context, lease *keep.Lease, d Details, want Want) (*Entry, error) {
	e, err := ln.Join(ctx, lease, d)
	if err != nil {
		return nil, err
	}
	if _, err = e.headOrGiveUp(ctx); err != nil {
		return nil, err
	}
	if e.granted != nil {
		return e, nil
	}
	defer e.bury()
	err = retry.Until(ctx, func(ctx context.Context) error {
		view, err := e.survey(ctx)
		if err != nil {
			return err
		}
		return e.claim(ctx, want, view)
	})
	if err == nil || errors.Is(err, errGranted) {
		return e, nil
	}
	e.Abandon()
	if errors.Is(err, errNotFree) {
		return nil, &HeldError{}
	}
	return nil, err
}

// reach waits for the turn, and takes the place then.
func (e *Entry) reach(ctx context.Context, want Want) error {
	if err := e.Wait(ctx); err != nil || e.granted != nil {
		return err
	}
	defer e.bury()
	for e.granted == nil {
		err := retry.Until(ctx, func(ctx context.Context) error { // each time with short pauses again
			err := e.next(ctx, want)
			if errors.Is(err, errLookAgain) { // not all heads of a session at one time
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

// took takes what was done: places that were given to this entry (others may have been given some in the same Txn), or a place in line. It
// is false if there was neither.
func (e *Entry) took(r *ran) bool {
	tail, own := e.line.tail(), e.grantee().value
	joined := false
	for _, put := range r.puts {
		switch key := string(put.KeyBytes()); {
		case key == tail:
			joined = true
		case strings.HasPrefix(key, e.line.prefix+places) && string(put.ValueBytes()) == own:
			e.granted = append(e.granted, keep.Key{Name: key, Rev: r.rev})
		}
	}
	if joined {
		e.joined(r.rev, r.prev[tail])
	}
	e.read = r.gets
	return joined || e.granted != nil
}
