package line

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// MostLines is how many lines one Txn joins. etcd allows 128 operations, and so many on the next level that the two have no more.
const MostLines = 64

// A Set is one entry in each of several lines. They were made by one Txn, so that they have one revision: whoever waits for another in
// one line came after it in every line, and nobody waits in a circle.
type Set struct {
	entries []*Entry
}

// JoinAll stands in all of lines, or in none. What Join says holds for the whole.
func JoinAll(ctx context.Context, lease *keep.Lease, d Details, lines []*Line) (*Set, error) {
	var s *Set
	_, err := lines[0].join(ctx, lease, d, func(ctx context.Context, e *Entry) (bool, error) {
		s = &Set{entries: make([]*Entry, len(lines))}
		e.all = s
		var ifs []clientv3.Cmp
		var then []clientv3.Op
		for i, ln := range lines {
			s.entries[i] = &Entry{line: ln, lease: lease, id: e.id, details: d}
			if i == 0 {
				s.entries[0] = e
			}
			ifs, then = append(ifs, absent(s.entries[i].key())), append(then, clientv3.OpTxn(nil, s.entries[i].joining(), nil))
		}
		// An id is void for the whole if it is void in the first line.
		resp, err := lines[0].keeper.Txn(ctx, append(ifs, absent(lines[0].voided(e.id))), then, nil)
		if err != nil || !resp.Succeeded {
			return false, err
		}
		for i, e := range s.entries {
			e.joinedBy(&clientv3.TxnResponse{Header: resp.Header, Responses: resp.Responses[i].GetResponseTxn().Responses})
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	s.adopt()
	return s, nil
}

// adopt gives all entries the revision of the first: those of a join that was found after its answer was lost have no other.
func (s *Set) adopt() {
	for _, e := range s.entries {
		e.rev = s.entries[0].rev
	}
}

// Wait returns when all entries are at the head of their lines.
func (s *Set) Wait(ctx context.Context) error {
	waited := false
	for _, e := range s.entries {
		waited = waited || !e.head
		err := e.Wait(ctx)
		e.closeOwn() // the hold opens watches of its own, if it lasts
		if err != nil {
			return err
		}
	}
	if !waited {
		return nil
	}
	return retry.Until(ctx, s.confirm)
}

// confirm looks whether the entries that were at the head first still are there: nobody has watched them meanwhile.
func (s *Set) confirm(ctx context.Context) error {
	gets := make([]clientv3.Op, len(s.entries))
	for i, e := range s.entries {
		gets[i] = clientv3.OpGet(e.key(), clientv3.WithKeysOnly())
	}
	resp, err := s.entries[0].line.keeper.Txn(ctx, nil, gets, nil)
	if err != nil {
		return err
	}
	for i, e := range s.entries {
		if own := one(resp, i); own == nil || own.ModRevision != e.rev {
			return e.out(ctx, own)
		}
	}
	return nil
}

// Keys are those of the entries, in the order of the lines.
func (s *Set) Keys() []keep.Key {
	keys := make([]keep.Key, len(s.entries))
	for i, e := range s.entries {
		keys[i] = e.Key()
	}
	return keys
}

// Pass passes all heads on, in one Txn. It tries until ctx ends and may be called again then. ErrNotThere says that one of the entries was not
// there any more; the others were passed on.
func (s *Set) Pass(ctx context.Context) error {
	_, err := s.leave(ctx)
	return err
}

// giveUp leaves all lines, and passes the head on where it was reached already.
func (s *Set) giveUp(ctx context.Context) error {
	answers, err := s.leave(ctx)
	if err != nil && !errors.Is(err, keep.ErrNotThere) {
		return err
	}
	for i, e := range s.entries {
		if answers[i] == nil || !e.head && e.strands(answers[i]) {
			_ = e.line.tidy(ctx)
		}
	}
	return err
}

// leave ends each entry that is still as it was written. The answers are those of each, nil where there is none.
func (s *Set) leave(ctx context.Context) (answers []*clientv3.TxnResponse, err error) {
	s.adopt()
	answers = make([]*clientv3.TxnResponse, len(s.entries))
	first := s.entries[0]
	ops, bare := make([]clientv3.Op, len(s.entries)), make([]clientv3.Op, len(s.entries))
	for i, e := range s.entries {
		e.closeOwn()
		leave, without := e.parting(), clientv3.OpDelete(e.key())
		if e.head {
			leave, without = e.passing()
		}
		own := []clientv3.Cmp{e.Key().Is()}
		ops[i] = clientv3.OpTxn(own, []clientv3.Op{leave}, nil)
		bare[i] = clientv3.OpTxn(own, []clientv3.Op{without}, nil)
	}
	err = retry.Until(ctx, func(ctx context.Context) error {
		kept := answers
		resp, err := first.line.keeper.Txn(ctx, nil, ops, nil)
		if errors.Is(err, rpctypes.ErrNoSpace) {
			kept = nil
			resp, err = first.line.keeper.Txn(ctx, nil, bare, nil)
		}
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			_ = first.lease.Refused(err)
			return first.notThere()
		case err != nil:
			first.asked = first.asked || !retry.NotApplied(err)
			return err
		}
		return s.left(resp, kept)
	})
	return answers, err
}

// left takes the answer to leave, and keeps those of each entry if somebody wants them.
func (s *Set) left(resp *clientv3.TxnResponse, kept []*clientv3.TxnResponse) (err error) {
	for i := range s.entries {
		inner := resp.Responses[i].GetResponseTxn()
		if !inner.Succeeded {
			err = s.entries[0].notThere()
		} else if kept != nil {
			kept[i] = (*clientv3.TxnResponse)(inner)
		}
	}
	return err
}

// Abandon gives up in the background, as Entry.Abandon does.
func (s *Set) Abandon() { s.entries[0].Abandon() }
