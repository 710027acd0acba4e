package semaphore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/semaphore/internal/durable"
)

// DurablePermit is a permit of a durable semaphore, as it was when etcd was asked. It is a value: keep it, or find it again by Held.
type DurablePermit struct {
	Resource string            `json:"resource"` // what its claim is on: "semaphore/web#0"
	ID       string            `json:"id"`       // the holder's
	Slot     int               `json:"slot"`
	Token    fencing.Token     `json:"token"`
	At       time.Time         `json:"at"` // when it was granted, by the wall clock of who did
	Labels   map[string]string `json:"labels,omitempty"`
}

// Claim is what the holder presents to a resource. It is not bound to anything in this process, so the resource's gate decides. It has no key in
// etcd that is the permit's own: there a Gate guards (etcdfence.Gate), and etcdfence.KV refuses it.
func (p DurablePermit) Claim() fencing.Claim {
	return fencing.Claim{Resource: p.Resource, Token: p.Token, Mode: fencing.Exclusive}
}

// Context is ctx with the claim, for the guards in package fencing. It does not end with the permit.
func (p DurablePermit) Context(ctx context.Context) context.Context {
	return fencing.NewContext(ctx, p.Claim())
}

// SetLimit sets how many may hold at one time, 0 to 1,000, and the group limits: those that are given (Group), and no others. The first call makes the
// semaphore; there may be no leased one of that name (ErrLeased).
//
// It takes nobody's permit away: if more hold than the new limit allows, nobody gets one until enough were released.
func (d *DurableSemaphore) SetLimit(ctx context.Context, limit int, opts ...DurableOption) error {
	const act = "set the limit"
	o := durableOpts(opts)
	if err := d.begin(ctx, act, o.check(false, true), durable.CheckLimit(limit, o.groups)); err != nil {
		return err
	}
	_, err := d.ask(ctx, act, durable.SetLimit(limit, o.groups, o.Own))
	return err
}

// Acquire waits until id holds a permit. Whoever holds one has it, with the token that it had, and nothing is written.
//
// ctx bounds the waiting. An error that Is session.ErrUnknownOutcome says that the permit may have been granted, or may still be: call Acquire again. With
// any other error the call has granted nothing. If the semaphore has no limit it fails with ErrNoLimit; with a limit of 0 it waits.
func (d *DurableSemaphore) Acquire(ctx context.Context, id string, opts ...DurableOption) (DurablePermit, error) {
	const act = "acquire"
	o := durableOpts(opts)
	if err := d.begin(ctx, act, durable.CheckID(id), o.check(true, false)); err != nil {
		return DurablePermit{}, err
	}
	now, err := d.do.Acquire(ctx, id, o.labels, o.Own)
	return d.permit(id, now, d.wrap(act, err))
}

// TryAcquire is Acquire for those who don't wait: if there is no room, it fails with a *DurableFullError.
func (d *DurableSemaphore) TryAcquire(ctx context.Context, id string, opts ...DurableOption) (DurablePermit, error) {
	const act = "try to acquire"
	o := durableOpts(opts)
	if err := d.begin(ctx, act, durable.CheckID(id), o.check(true, false)); err != nil {
		return DurablePermit{}, err
	}
	now, err := d.ask(ctx, act, durable.Acquire(id, o.labels, o.Own))
	return d.permit(id, now, err)
}

// Held finds the permit that id holds, and never acquires one: without one it fails with ErrNotHeld. It is for the time after a restart.
func (d *DurableSemaphore) Held(ctx context.Context, id string) (DurablePermit, error) {
	const act = "find"
	if err := d.begin(ctx, act, durable.CheckID(id)); err != nil {
		return DurablePermit{}, err
	}
	now, err := d.ask(ctx, act, durable.Find(id))
	return d.permit(id, now, err)
}

// Release gives back the permit that id holds with that token, and never another: neither a later one of the same id nor anybody else's.
//
// Twice is the same as once: who was released is remembered for a day (by the wall clock of whoever writes the record), but no more than the last 256
// of them. A permit that was taken away by Remove gives an error that Is session.ErrLost, and one that is not known, or not any more, ErrNotHeld.
//
// No lease gives back what is not released. So it goes on although ctx has ended, or ends on the way: it takes 5 s at most, whatever ctx says.
func (d *DurableSemaphore) Release(ctx context.Context, id string, token fencing.Token, opts ...DurableOption) error {
	const act = "release"
	if ctx != nil {
		ctx = context.WithoutCancel(ctx)
	}
	o := durableOpts(opts)
	var none error
	if token.IsZero() {
		none = errors.New("the token is zero: Acquire and Held tell the permit's")
	}
	if err := d.begin(ctx, act, durable.CheckID(id), none, o.check(false, false)); err != nil {
		return err
	}
	_, err := d.ask(ctx, act, durable.Release(id, token, o.Own))
	return err
}

// Remove takes the permit of id away, whatever its token: for operators who know that its holder never comes back. The reason is kept for people to
// read, 256 bytes of it as JSON; the holder's Release says it. If id holds nothing, the error Is ErrNotHeld.
//
// In both cases the record is written, so that no acquisition by id that was sent before, and got no answer, is granted later. So If and Then count in both.
func (d *DurableSemaphore) Remove(ctx context.Context, id, reason string, opts ...DurableOption) error {
	const act = "remove"
	o := durableOpts(opts)
	if err := d.begin(ctx, act, durable.CheckID(id), durable.CheckReason(reason), o.check(false, false)); err != nil {
		return err
	}
	_, err := d.ask(ctx, act, durable.Remove(id, reason, o.Own))
	return err
}

// permit is the permit of id in the record that the answer is about, if there was no error.
func (d *DurableSemaphore) permit(id string, now *durable.Seen, err error) (DurablePermit, error) {
	if err != nil {
		return DurablePermit{}, err
	}
	h := now.Record.Holder(id)
	if h == nil {
		return DurablePermit{}, d.wrap("find", fmt.Errorf("%q: %w", id, ErrNotHeld))
	}
	return d.permitOf(*h), nil
}

func (d *DurableSemaphore) permitOf(h durable.Holding) DurablePermit {
	return DurablePermit{Resource: fmt.Sprintf("semaphore/%s#%d", d.name, h.Slot), ID: h.ID, Slot: h.Slot, Token: h.Token, At: h.At, Labels: maps.Clone(h.Labels)}
}
