package election

import (
	"context"
	"errors"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

// A Term is a time of leadership. Its Token is larger than that of every earlier term of the election. It is safe for concurrent use.
type Term struct {
	*session.Hold
	keeper *keep.Keeper
	lease  *keep.Lease
	entry  *line.Entry
	stand  *stand
	run    *run // nil: the term was handed out

	proclaimed proclaimed
	next       chosen
}

// Resign ends the term's context and then gives leadership to the next candidate: it has it at once, and sends nothing for it. With nobody
// waiting, or when etcd is out of space, there is no leader then. It removes nothing but its own: a term that was lost before gives ErrLost.
//
// It takes 1 read and 1 transaction; one more of each whenever the candidate leaves at that very moment. What Hold.Release says of a ctx that has
// ended, and of later calls, holds here. In Run it only ends the term's context, and returns nil: leadership is given away when the work has
// returned.
func (t *Term) Resign(ctx context.Context) error {
	if t.run != nil {
		session.End(t.Hold, session.ErrReleased)
		return nil
	}
	return t.Hold.Release(ctx)
}

// give gives leadership to the successor. It may have to be called again.
func (t *Term) give(ctx context.Context) error {
	err := t.entry.HandOver(ctx, t.successor)
	if err == nil || errors.Is(err, keep.ErrNotThere) {
		t.stand.leave()
	}
	return err
}

// Release is Resign.
func (t *Term) Release(ctx context.Context) error { return t.Resign(ctx) }

// HandOver gives leadership to the candidate with that id (see Candidates): it has it at once, and sends nothing for it. The term's context
// ends before.
//
// If there is no such candidate the error Is ErrNoCandidate, and the term goes on; it also goes on if etcd did not tell who waits (session.ErrUnavailable, or
// ctx's error, and not ErrUnknownOutcome): Err tells, and who wants to stop whatever comes calls Resign. If it leaves in the moment
// between that look and the handing over,
// the error Is ErrNoCandidate too, but the term is over: the session resigns for it in the background, and the next candidate
// leads. The same holds if etcd is out of space, when nobody can be given anything (rpctypes.ErrNoSpace). ErrLost: the term was lost
// before. ErrUnknownOutcome: etcd did not answer as long as ctx lasted; the term is over, and the session goes on.
//
// It takes 1 read and 1 transaction; one more of each whenever the candidate before it leaves at that very moment. In Run it ends the
// term's context and returns: leadership is handed over when the work has returned, to
// the next candidate if that one has left by then.
func (t *Term) HandOver(ctx context.Context, candidateID string) error {
	if ctx == nil {
		return fmt.Errorf("%s: hand over: the context is nil", t.what())
	}
	if err := t.Err(); err != nil && !errors.Is(err, session.ErrUncertain) { // what the transaction compares is certain
		return err
	}
	bound, cancel := t.keeper.Bound(ctx, t.lease)
	defer cancel()
	l, err := t.entry.Lineup(bound)
	if err != nil {
		return fmt.Errorf("%s: hand over: %w", t.what(), err)
	}
	if find(l.Waiting, candidateID) < 0 {
		return fmt.Errorf("%s: hand over to %q: %w", t.what(), candidateID, ErrNoCandidate)
	}
	if t.run != nil {
		t.next.set(candidateID)
		session.End(t.Hold, session.ErrReleased)
		return nil
	}
	t.next.set(candidateID) // whoever resigns for this term does as it was told, if it can
	return session.Exchange(ctx, t.Hold, func(ctx context.Context) error { return t.handTo(ctx, l, candidateID) }, t.give)
}

// handTo hands over to the candidate with that id, which stands in l. It looks again if the line has changed: others may leave it.
func (t *Term) handTo(ctx context.Context, l *line.Lineup, candidateID string) error {
	for {
		i := find(l.Waiting, candidateID)
		if i < 0 {
			return fmt.Errorf("hand over to %q, which left at that moment: %w", candidateID, ErrNoCandidate)
		}
		given, err := t.entry.HandTo(ctx, l, i)
		switch {
		case given:
			t.stand.leave()
			return nil
		case err != nil:
			return err
		}
		if l, err = t.entry.Lineup(ctx); err != nil {
			return err
		}
	}
}

// successor is who is to lead next: the one chosen, if it still waits.
func (t *Term) successor(waiting line.State) int {
	if i := find(waiting, t.next.get()); i >= 0 {
		return i
	}
	return first(waiting)
}

func find(waiting line.State, id string) int {
	return slices.IndexFunc(waiting, func(s line.Standing) bool { return s.ID == id })
}

func (t *Term) what() string { return t.Claims()[0].Resource }

// value is what stands beside the place for a proclaimed value.
const value = "value"

// proclaimed is what the term knows of its value.
type proclaimed struct {
	key  string
	turn turn
	rev  int64 // of the last value that it knows of, 0 if none was proclaimed
}

// Proclaim changes the value that observers see. It returns once etcd has it, and only the leader can: ErrLost says that it is not the leader any
// more, and that the value is unchanged. Calls take effect one after the other, and a late copy of one never undoes a later.
//
// It takes 1 transaction, and tries until ctx ends, while etcd is away. ErrUnknownOutcome: etcd has not answered, and may have the value or not.
func (t *Term) Proclaim(ctx context.Context, value string) error {
	if ctx == nil {
		return fmt.Errorf("%s: proclaim: the context is nil", t.what())
	}
	if err := checkValue(value); err != nil {
		return fmt.Errorf("%s: proclaim: %w", t.what(), err)
	}
	end, err := t.proclaimed.turn.take(ctx)
	if err != nil {
		return fmt.Errorf("%s: proclaim: %w", t.what(), err)
	}
	defer end()
	unknown := false
	err = retry.Until(ctx, func(ctx context.Context) error {
		err := t.proclaim(ctx, value)
		unknown = unknown || errors.Is(err, session.ErrUnknownOutcome)
		return err
	})
	if err != nil && unknown && !errors.Is(err, session.ErrUnknownOutcome) {
		return fmt.Errorf("%s: proclaim: %w: %w", t.what(), session.ErrUnknownOutcome, err)
	}
	return err
}

// proclaim writes the value over the last one that is known. If there is another it is from an earlier request that got no answer.
func (t *Term) proclaim(ctx context.Context, value string) error {
	p := &t.proclaimed
	put, get := clientv3.OpPut(p.key, value, clientv3.WithLease(t.lease.ID())), clientv3.OpGet(p.key)
	for {
		resp, err := t.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(p.key), "=", p.rev)).Then(put).Else(get).Commit()
		if err != nil {
			return err
		}
		if resp.Succeeded {
			p.rev = resp.Header.Revision
			return nil
		}
		p.rev = 0
		for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
			p.rev = kv.ModRevision
		}
	}
}
