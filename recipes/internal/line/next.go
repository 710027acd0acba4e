package line

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

var (
	// errGranted says that the entry has its places: somebody else has given them, or an earlier request has.
	errGranted = retry.Permanent(errors.New("granted already"))
	// errNotFree says that a place isn't to be had yet.
	errNotFree = retry.Permanent(errors.New("not free"))
)

// next is the head's part: it watches the places until what it wants is free, and takes it.
func (e *Entry) next(ctx context.Context, want Want) error {
	k := e.line.keeper
	if err := e.watchOwn(ctx); err != nil {
		return err
	}
	w, err := k.Watch(ctx, e.line.prefix+places, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	defer w.Close()
	// Both watches are open: what this read doesn't see comes as an event.
	view, err := e.survey(ctx)
	if err != nil {
		return err
	}
	again := k.Reread(e.key())
	defer again.Stop()
	for {
		if err := e.claim(ctx, want, view); !errors.Is(err, errNotFree) {
			return err
		}
		if err := e.news(ctx, view, w, again); err != nil {
			return err
		}
	}
}

// news waits until something has changed in the places.
func (e *Entry) news(ctx context.Context, view *View, w *keep.Watch, again *keep.Reread) error {
	select {
	case resp, ok := <-w.C:
		if !ok || resp.Err() != nil {
			return errLookAgain
		}
		view.apply(resp.Events)
		return nil
	case resp, ok := <-e.own.C:
		return e.heardOwn(ctx, resp, ok)
	case <-again.C: // the watches stay: whatever they missed is read, and what comes meanwhile is not missed
		now, err := e.survey(ctx)
		if err == nil {
			*view = *now
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("next in line: %w", context.Cause(ctx))
	}
}

// claim takes what want says, if view has it free, and passes the head on in the same Txn. The error is errNotFree if it isn't; view is
// then as etcd had it last.
func (e *Entry) claim(ctx context.Context, want Want, view *View) error {
	for {
		grant, free, err := want.Plan(view, e.grantee())
		switch {
		case err != nil:
			return retry.Permanent(err)
		case !free:
			return errNotFree
		}
		if err := e.leaving(ctx, &grant, view); err != nil {
			return err
		}
		then := grant.Then
		resp, err := e.line.keeper.Txn(ctx, append(grant.If, e.Key().Is()), then, e.line.finding(e))
		if err != nil {
			e.claiming = e.claiming || !retry.NotApplied(err)
			return e.lease.Refused(err)
		}
		if resp.Succeeded {
			if grant.away {
				e.bury()
				return errNotFree // the watch tells when it is free again
			}
			e.took(follow(resp, then...))
			e.appointed = grant.led
			e.bury()
			return nil
		}
		now, err := e.surveyed(ctx, resp)
		if err != nil {
			return err
		}
		*view = *now
	}
}

// leaving adds to the grant how the head leaves the line: it passes on, or lets those behind it in as well.
func (e *Entry) leaving(ctx context.Context, grant *Grant, view *View) error {
	pass, _ := e.passing()
	if grant.With == nil && grant.To == nil {
		grant.Then = append(grant.Then, pass)
		return nil
	}
	l, err := e.line.Lineup(ctx)
	if err != nil {
		return err
	}
	if grant.To != nil {
		e.elsewhere(grant, l, pass)
		return nil
	}
	run := l.run(e, view, grant.With)
	if len(run) == 0 {
		grant.Then = append(grant.Then, pass)
		return nil
	}
	ifs, then := l.AppointRun(1, run)
	grant.If, grant.Then = append(grant.If, ifs...), append(append(grant.Then, then...), e.leading()...)
	grant.led = true
	e.toBury(l.between(len(run))...) // none of those let in moves past one
	return nil
}

// survey reads the places, and the own entry, which must be as it was written.
func (e *Entry) survey(ctx context.Context) (*View, error) {
	resp, err := e.line.keeper.Txn(ctx, nil, e.line.finding(e), nil)
	if err != nil {
		return nil, err
	}
	return e.surveyed(ctx, resp)
}

// surveyed takes what finding has read.
func (e *Entry) surveyed(ctx context.Context, resp *clientv3.TxnResponse) (*View, error) {
	kvs := resp.Responses[1].GetResponseRange().Kvs
	own := one(resp, 0)
	switch {
	case own != nil && own.ModRevision == e.rev:
		return e.line.view(resp.Header.Revision, kvs), nil
	case e.has(kvs):
		e.appointed = own != nil && len(readMark(own).Places) > 0
		return nil, errGranted
	}
	return nil, e.out(ctx, own)
}

// has adopts the entry's own places among kvs.
func (e *Entry) has(kvs []*mvccpb.KeyValue) bool {
	var own []keep.Key
	for _, kv := range kvs {
		if readPlace(kv).ID == e.id {
			own = append(own, markKey(kv))
		}
	}
	if own != nil {
		e.granted = own
	}
	return own != nil
}

// given is errGranted if the entry, whose own key is kv now, has its places. Whoever appoints another says so in the mark that it puts on
// that one's entry: then nothing is asked.
func (e *Entry) given(ctx context.Context, kv *mvccpb.KeyValue) error {
	if !e.line.placed {
		return nil
	}
	if kv != nil {
		if e.appoint(kv); e.appointed {
			return errGranted
		}
	}
	resp, err := e.line.keeper.Get(ctx, e.line.prefix+places, clientv3.WithPrefix())
	if err == nil && e.has(resp.Kvs) {
		err = errGranted
	}
	return err
}

// appoint reads in the mark on the entry which places somebody else has given it.
func (e *Entry) appoint(kv *mvccpb.KeyValue) {
	for _, name := range readMark(kv).Places {
		e.appointed = true
		e.granted = append(e.granted, keep.Key{Name: PlaceKey(e.line.prefix, name), Rev: kv.ModRevision})
	}
}
