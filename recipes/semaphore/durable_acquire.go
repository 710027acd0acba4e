package semaphore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
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

// Acquire waits until id holds a permit. Whoever holds one has it, with the token that it had, and nothing is written.
//
// ctx bounds the waiting. An error that Is session.ErrUnknownOutcome says that the permit may have been granted, or may still be: call Acquire again. With
// any other error the call has granted nothing. If the semaphore has no limit it fails with ErrNoLimit; with a limit of 0 it waits.
func (d *DurableSemaphore) Acquire(ctx context.Context, id string, opts ...DurableOption) (DurablePermit, error) {
	const act = "acquire"
	r, labels, err := d.acquiring(ctx, act, id, opts)
	if err != nil {
		return DurablePermit{}, err
	}
	var turn *durableTurn
	for {
		next := *r
		err := d.combiner.ask(ctx, &next)
		if !errors.Is(err, line.ErrHeld) {
			return d.permit(act, id, next.result, d.wrap(act, err))
		}
		if turn == nil {
			turn = d.follower.enter()
			defer turn.leave()
		}
		if failed := turn.wait(ctx, next.result.rev, id, labels); failed != nil {
			return DurablePermit{}, fmt.Errorf("%v, %w", d.wrap(act, err), failed) //nolint:errorlint // why it ended is not that it was full
		}
	}
}

// TryAcquire is Acquire for those who don't wait: if there is no room, it fails with a *DurableFullError.
func (d *DurableSemaphore) TryAcquire(ctx context.Context, id string, opts ...DurableOption) (DurablePermit, error) {
	const act = "try to acquire"
	r, _, err := d.acquiring(ctx, act, id, opts)
	if err != nil {
		return DurablePermit{}, err
	}
	err = d.call(ctx, act, r)
	return d.permit(act, id, r.result, err)
}

// Held finds the permit that id holds, and never acquires one: without one it fails with ErrNotHeld. It is for the time after a restart.
func (d *DurableSemaphore) Held(ctx context.Context, id string) (DurablePermit, error) {
	const act = "find"
	r := &durableRequest{change: func(r *durableRecord, _ bool) (bool, error) {
		if r.holder(id) == nil {
			return false, fmt.Errorf("%q: %w", id, ErrNotHeld)
		}
		return false, nil
	}}
	if err := checkHolder(id); err != nil {
		return DurablePermit{}, d.refuse(ctx, act, err)
	}
	err := d.call(ctx, act, r)
	return d.permit(act, id, r.result, err)
}

// acquiring is the request for a permit.
func (d *DurableSemaphore) acquiring(ctx context.Context, act, id string, opts []DurableOption) (*durableRequest, map[string]string, error) {
	o := durableOpts(opts)
	if err := errors.Join(checkHolder(id), o.check(true, false)); err != nil {
		return nil, nil, d.refuse(ctx, act, err)
	}
	if err := d.begin(ctx, act); err != nil {
		return nil, nil, err
	}
	labels := maps.Clone(o.labels)
	return &durableRequest{cmps: o.cmps, ops: o.ops, change: func(r *durableRecord, _ bool) (bool, error) {
		return r.grant(id, labels)
	}}, labels, nil
}

// permit is the permit of id in the record that the answer is about, if there was no error.
func (d *DurableSemaphore) permit(act, id string, now *durableSeen, err error) (DurablePermit, error) {
	if err != nil {
		return DurablePermit{}, err
	}
	h := now.record.holder(id)
	if h == nil {
		return DurablePermit{}, d.wrap(act, fmt.Errorf("%q: %w", id, ErrNotHeld))
	}
	return d.permitOf(*h), nil
}

func (d *DurableSemaphore) permitOf(h durableHolding) DurablePermit {
	return DurablePermit{
		Resource: fmt.Sprintf("%s/%s#%d", durableKind, d.name, h.Slot), ID: h.ID, Slot: h.Slot, Token: h.Token, At: h.At, Labels: maps.Clone(h.Labels),
	}
}

// checkHolder refuses ids that would make trouble later.
func checkHolder(id string) error {
	switch n := len(encodeJSON(id)); {
	case id == "":
		return errors.New("the holder's id is empty")
	case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("the holder's id %q is not printable UTF-8", id)
	case n > mostID+2:
		return refuseDurable("a holder's id", n-2, mostID)
	}
	return nil
}

// A durableTurn is somebody who waits for room.
type durableTurn struct {
	f   *durableFollower
	now *durableWatch
}

// wait returns when the record has changed since rev and has room for id, or has it as a holder, or is gone.
func (t *durableTurn) wait(ctx context.Context, rev int64, id string, labels map[string]string) error {
	for {
		now, changed, err := t.now.look()
		switch {
		case err != nil:
			return err
		case now != nil && (now.record == nil || now.rev > rev && now.record.admits(id, labels)):
			// All who wait learn of it at one time. Those who are slower see that there is no room any more, and send nothing.
			if err := retry.Sleep(ctx, t.now.pause(now)); err != nil {
				return durableWaited(ctx)
			}
			if again, _, _ := t.now.look(); again == now {
				return nil
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return durableWaited(ctx)
		}
	}
}

func durableWaited(ctx context.Context) error {
	return fmt.Errorf("while waiting for one: %w", retry.Why(ctx))
}
