package line

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// This file is for a recipe with one place, which its holder, or the head of the line, may give to anybody in line.

// errLeft says that whoever was to get the place, or the one before it, doesn't stand in line any more.
var errLeft = errors.New("the successor has left the line")

// Lineup reads the line that e has left.
func (e *Entry) Lineup(ctx context.Context) (l *Lineup, err error) {
	err = retry.Until(ctx, func(ctx context.Context) error {
		l, err = e.line.Lineup(ctx)
		return err
	})
	return l, err
}

// HandOver gives the place that e has to the one in line whom choose says, or back if choose says a negative number. If that one has left
// meanwhile it looks again: until then e has the place. It takes one read and one Txn, if nobody leaves. It tries until ctx ends and may be called
// again then. ErrNotThere says that the place was not its own any more.
//
// When etcd is out of space nobody can be given anything: then the place is just given back.
func (e *Entry) HandOver(ctx context.Context, choose func(waiting State) int) error {
	e.closeOwn()
	return retry.Until(ctx, func(ctx context.Context) error {
		for {
			l, err := e.line.Lineup(ctx)
			if err != nil {
				return err
			}
			switch err := e.give(ctx, l, choose(l.Waiting)); {
			case errors.Is(err, rpctypes.ErrNoSpace):
				return e.Release(ctx)
			case !errors.Is(err, errLeft):
				return err
			}
		}
	})
}

// HandTo gives the place that e has to the i-th of l, in one Txn. It is false, and e has the place still, if that one has left,
// or the one before it: then it stands elsewhere. Out of space etcd refuses it (ErrNoSpace), and e has the place still as well.
func (e *Entry) HandTo(ctx context.Context, l *Lineup, i int) (given bool, err error) {
	err = retry.Until(ctx, func(ctx context.Context) error {
		err := e.give(ctx, l, i)
		if given = err == nil; errors.Is(err, errLeft) {
			return nil
		}
		return err
	})
	return given, err
}

// give gives the place to the i-th of l, or back if i is negative. What it compares holds once.
func (e *Entry) give(ctx context.Context, l *Lineup, i int) error {
	place := e.granted[0]
	ifs, then := []clientv3.Cmp{place.Is()}, e.unmark()
	if i < 0 {
		then = append(then, keep.Delete(place.Name))
	} else {
		stands, appoint := l.Appoint(i, placeName(l.prefix, place.Name))
		ifs, then = append(ifs, stands...), append(append(then, appoint...), keep.DeleteBeside(place.Name))
	}
	lost := clientv3.OpTxn([]clientv3.Cmp{place.Is()}, nil, e.unmark())
	resp, err := e.line.keeper.Txn(ctx, ifs, then, []clientv3.Op{clientv3.OpGet(place.Name), lost})
	switch {
	case err != nil:
		e.asked = e.asked || !retry.NotApplied(err)
		return err
	case resp.Succeeded:
		e.toBury(l.inFrontOf(i)...) // the one that was appointed doesn't move past them
		e.bury()
		return nil
	}
	if kv := one(resp, 0); kv != nil && kv.ModRevision == place.Rev {
		return errLeft
	}
	return e.notThere()
}

// elsewhere makes the grant one for whom its To says. If that is the head, e, it leaves the line by pass.
func (e *Entry) elsewhere(grant *Grant, l *Lineup, pass clientv3.Op) {
	i := 0
	if len(l.Waiting) > 0 && l.Waiting[0].ID == e.id { // otherwise e has been given something, and the grant fails
		i = grant.To(l.Waiting)
	}
	if i <= 0 {
		grant.Then = append(grant.Then, pass)
		return
	}
	stands, appoint := l.Appoint(i, grant.Place)
	grant.If, grant.Then, grant.away = append(grant.If, stands...), appoint, true
	e.toBury(l.inFrontOf(i)...)
}

// inFrontOf are the marks between the i-th in line and whoever stands before it. (Appoint deletes those before the first.)
func (l *Lineup) inFrontOf(i int) (marks []keep.Key) {
	if i < 1 {
		return nil
	}
	for _, kv := range l.gone {
		if kv.CreateRevision > l.Waiting[i-1].Rev && kv.CreateRevision < l.Waiting[i].Rev {
			marks = append(marks, markKey(kv))
		}
	}
	return marks
}
