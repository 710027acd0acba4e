package objectfence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/stile-dev/stile/fencing"
)

var _ fencing.Gate = (*Object)(nil)

// Object is a guarded object, and a fencing.Gate for the one resource that it belongs to. It is safe for concurrent use, in any number
// of processes.
//
// The errors of its methods are those of fencing.FromContext; a *fencing.StaleError (ErrStale); fencing.ErrShared for a write by a shared
// claim; fencing.ErrBadClaim if the object belongs to another resource; ctx.Err(); and the store's. Nothing was written then, except after
// fencing.ErrUnknownOutcome, of which nobody knows. What was sent then can still come to the object, but not after the next holder's
// Seal, nor after a later Replace.
type Object struct {
	store Store
	key   string
}

// New guards the object under key, which need not exist. One that was not written through this package is refused.
func New(store Store, key string) *Object { return &Object{store, key} }

// Check admits a write that the caller makes later, somewhere else: nothing keeps a larger token from being admitted in between.
// Replace checks on its own.
func (o *Object) Check(ctx context.Context) error {
	c, err := writer(ctx)
	if err != nil {
		return err
	}
	return o.change(ctx, c, "check", keep)
}

// Seal admits a new holder of either mode. Once it returns nil, no write of an earlier holder lands any more. It writes the object again, with
// the data that it has, unless the token was seen before; an object that isn't there is made, and has no data yet. It may be called again
// after any error.
func (o *Object) Seal(ctx context.Context) error {
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	return o.change(ctx, c, "seal", keep)
}

// CheckRead admits a read that the caller makes later. Read checks on its own.
func (o *Object) CheckRead(ctx context.Context) error {
	if _, err := o.Read(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Read returns the data, as it is while the claim is admitted; either mode may read. The error Is fs.ErrNotExist if nobody has written
// any yet.
func (o *Object) Read(ctx context.Context) ([]byte, error) {
	c, err := claim(ctx)
	if err != nil {
		return nil, err
	}
	now, err := o.look(ctx, c)
	switch {
	case err != nil:
		return nil, o.failed("read", err)
	case now.head.Empty:
		return nil, o.failed("read", fs.ErrNotExist)
	}
	return now.data, nil
}

// Replace makes data what is in the object. If the store answers with something else than a conflict, Replace looks whether it was written
// all the same.
func (o *Object) Replace(ctx context.Context, data []byte) error {
	c, err := writer(ctx)
	if err != nil {
		return err
	}
	return o.change(ctx, c, "replace", func(now *object) (must bool) {
		now.data = data
		return true
	})
}

// keep is a change of the token alone. There is nothing to do if it was seen before.
func keep(*object) (must bool) { return false }

// How long to wait after a conflict, at most: from first to longest, drawn at random.
const (
	first   = 2 * time.Millisecond
	longest = 100 * time.Millisecond
)

// change writes the object with c's token until there is no conflict.
func (o *Object) change(ctx context.Context, c fencing.Claim, act string, edit func(now *object) (must bool)) error {
	w, pause := newWrite(), first
	for {
		now, err := o.look(ctx, c)
		if err != nil {
			return o.failed(act, err)
		}
		if w.wrote(now.head) { // the store counted it as a conflict, as after an attempt of its own
			return nil
		}
		before, must := now.head, edit(&now)
		now.head = before.with(c)
		now.head.Empty = before.Empty && !must
		if now.head == before && !must {
			return nil
		}
		now.head.Write = w.next()
		switch err := o.put(ctx, now); {
		case err == nil:
			return nil
		case !errors.Is(err, ErrConflict):
			return o.failed(act, o.settle(ctx, c, w, err))
		}
		if err := sleep(ctx, rand.N(pause)); err != nil {
			return o.failed(act, fmt.Errorf("%w: %w", err, ErrConflict))
		}
		pause = min(2*pause, longest)
	}
}

// settle looks whether a write was done of which the store has not said so.
func (o *Object) settle(ctx context.Context, c fencing.Claim, w *write, err error) error {
	now, looked := o.look(ctx, c)
	switch {
	case looked == nil && w.wrote(now.head):
		return nil
	case errors.Is(looked, fencing.ErrStale):
		return fmt.Errorf("%w: %w: %w", fencing.ErrUnknownOutcome, err, looked)
	}
	return fmt.Errorf("%w: %w", fencing.ErrUnknownOutcome, because(ctx, err))
}

// look reads the object and compares. What isn't there is an object without a token.
func (o *Object) look(ctx context.Context, c fencing.Claim) (object, error) {
	if o.store == nil {
		return object{}, errors.New("the store is nil")
	}
	if err := ready(ctx, c); err != nil {
		return object{}, err
	}
	data, version, err := o.store.Get(ctx, o.key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return object{head: head{Empty: true}}, nil
	case err != nil:
		return object{}, because(ctx, err)
	case version == "":
		return object{}, errors.New("the store gave no version")
	}
	now, err := parse(data)
	if err != nil {
		return object{}, err
	}
	now.version = version
	return now, now.head.verdict(c)
}

// put writes next in the place of the version that it was made from.
func (o *Object) put(ctx context.Context, next object) error {
	text, err := next.text()
	if err != nil {
		return err
	}
	return o.store.Put(ctx, o.key, text, next.version)
}

// failed names the object. A *fencing.StaleError says all by itself.
func (o *Object) failed(act string, err error) error {
	if stale, ok := err.(*fencing.StaleError); ok || err == nil { //nolint:errorlint // one that is wrapped says more
		if ok {
			return stale
		}
		return nil
	}
	return fmt.Errorf("objectfence: %s %q: %w", act, o.key, err)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return because(ctx, ctx.Err())
	}
}
