package slots

import (
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/line"
)

// The keys below p/, and one beside it. The package's comment says what they are for.
const (
	LimitName  = "limit"
	lookName   = "look"
	slots      = "s/"
	groups     = "g/"
	DurableKey = "durable"
)

// MaxAtOnce is how many permits one acquisition can have: each takes up to two of the 128 operations that etcd allows in a Txn.
const MaxAtOnce = 60

// A chain asks for slot after slot in one Txn. Each takes two of the 128 conditions, and repeats what its holder tells about itself.
const (
	longestChain = 56
	chainBytes   = 512 << 10
)

// Name is that of the i-th slot.
func Name(i int) string { return slots + digits(i) }

// Number is the number of the slot called name.
func Number(name string) (i int, ok bool) {
	number, ok := strings.CutPrefix(name, slots)
	if i, err := strconv.Atoi(number); ok && err == nil && Name(i) == name {
		return i, true
	}
	return 0, false
}

// A Want is what an acquisition asks for.
type Want struct {
	N         int
	Expect    *int // the limit that it counts on; nil: any
	Notes     *keep.Keeper
	Prefix    string            // of the semaphore's keys
	Semaphore string            // its name, for errors
	Labels    map[string]string // the session's
}

// atLeast compares that the limit is n or more: whatever the record says follows the digits, and makes it larger than them alone.
func atLeast(g line.Grantee, n int) clientv3.Cmp {
	return clientv3.Compare(clientv3.Value(g.Key(LimitName)), ">", digits(n))
}

func below(g line.Grantee, n int) clientv3.Cmp {
	return clientv3.Compare(clientv3.Value(g.Key(LimitName)), "<", digits(n))
}

// sane compares that the limit is no larger than there is: a record that somebody else has written ("4") may follow any digits.
func sane(g line.Grantee) clientv3.Cmp { return below(g, MaxLimit+1) }

func free(g line.Grantee, name string) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(g.Key(name)), "=", 0)
}

// right compares that the limit is one under which it may wait.
func (w *Want) right(g line.Grantee) []clientv3.Cmp {
	if w.Expect != nil {
		return []clientv3.Cmp{atLeast(g, *w.Expect), below(g, *w.Expect+1)}
	}
	return []clientv3.Cmp{atLeast(g, w.N), sane(g)}
}

// chain is how many slots are asked for in turn: as many as there were when somebody last looked.
func (w *Want) chain(g line.Grantee) int {
	n := longestChain
	if limit, ok := w.Notes.Noted(w.Prefix); ok {
		n = min(n, limit)
	}
	return max(1, min(n, chainBytes/g.Size(Name(0))))
}

// Blind takes the first slot that is free, if one is enough and a free slot below the limit is to be had.
func (w *Want) Blind(g line.Grantee, otherwise clientv3.Op) clientv3.Op {
	if w.N > 1 {
		return otherwise
	}
	op := otherwise
	for i := w.chain(g) - 1; i >= 0; i-- {
		take := []clientv3.Op{g.Put(Name(i)), clientv3.OpGet(g.Key(LimitName))}
		op = clientv3.OpTxn([]clientv3.Cmp{free(g, Name(i)), atLeast(g, i+1)}, take, []clientv3.Op{op})
	}
	ifs := []clientv3.Cmp{free(g, lookName), sane(g)}
	if w.Expect != nil {
		ifs = append(ifs, w.right(g)...)
	}
	return clientv3.OpTxn(ifs, []clientv3.Op{op}, []clientv3.Op{otherwise})
}

// Gate stands in line if the limit allows to wait, and looks if it doesn't, if several are wanted, or if the chain may have been too short.
func (w *Want) Gate(g line.Grantee, alone bool, join, look clientv3.Op) clientv3.Op {
	switch {
	case !alone:
		closed := clientv3.OpTxn([]clientv3.Cmp{below(g, 1)}, []clientv3.Op{join}, []clientv3.Op{look})
		return clientv3.OpTxn(w.right(g), []clientv3.Op{join}, []clientv3.Op{closed})
	case w.N > 1:
		return look
	}
	full := append(w.right(g), free(g, lookName), below(g, w.chain(g)+1))
	return clientv3.OpTxn(full, []clientv3.Op{join}, []clientv3.Op{look})
}

// Plan takes the lowest slots that are free. If a free slot doesn't tell that it is to be had, nobody may have been let in since the view.
func (w *Want) Plan(view *line.View, g line.Grantee) (line.Grant, bool, error) {
	rec, rev, err := w.limit(view)
	if err != nil || rec.Limit == 0 {
		return line.Grant{}, false, err
	}
	if err := w.admissible(rec); err != nil {
		return line.Grant{}, false, err
	}
	h := holds(view, rec)
	names := h.free(w.N)
	if h.taken+w.N > rec.Limit || len(names) < w.N {
		return line.Grant{}, false, nil
	}
	grant := line.Grant{If: []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(g.Key(LimitName)), "=", rev)}}
	if view.Get(lookName) != nil {
		grant.If = append(grant.If, clientv3.Compare(clientv3.ModRevision(g.Key(slots)), "<", view.Rev+1).WithPrefix())
	} else {
		for _, name := range names {
			grant.If = append(grant.If, free(g, name))
		}
	}
	if rec.Spread != nil {
		group, ok := w.group(view, *rec.Spread)
		if !ok {
			return line.Grant{}, false, nil
		}
		names = append(names, group...)
	} else if view.Get(lookName) != nil && !h.above {
		grant.Then = append(grant.Then, clientv3.OpDelete(g.Key(lookName)))
	}
	for _, name := range names {
		grant.Then = append(grant.Then, g.Put(name))
	}
	return grant, true, nil
}

// limit is the record in the view, and when it was written.
func (w *Want) limit(view *line.View) (rec Record, rev int64, err error) {
	kv := view.Get(LimitName)
	if kv == nil {
		return Record{}, 0, ErrNoLimit
	}
	rec, err = Parse(string(kv.Value))
	if err != nil {
		return Record{}, 0, err
	}
	w.Notes.Note(w.Prefix, rec.Limit)
	return rec, kv.ModRevision, nil
}

// admissible says why the request can't be granted under this limit, whoever gives back what.
func (w *Want) admissible(rec Record) error {
	switch {
	case w.Expect != nil && *w.Expect != rec.Limit:
		return fmt.Errorf("%w: it is %d, and %d is expected", ErrLimitMismatch, rec.Limit, *w.Expect)
	case w.N > rec.Limit:
		return &LimitError{Name: w.Semaphore, Asked: w.N, Limit: rec.Limit}
	case rec.Spread == nil:
		return nil
	}
	s := *rec.Spread
	if _, ok := w.Labels[s.Label]; !ok {
		return fmt.Errorf("%w: %q", ErrNoLabel, s.Label)
	}
	if w.N > s.Most {
		return &LimitError{Name: w.Semaphore, Asked: w.N, Limit: rec.Limit, Label: s.Label, Most: s.Most}
	}
	return nil
}

// Heard is that the limit's record was read: it tells how many slots there are to ask for.
func (w *Want) Heard(record []byte) {
	if rec, err := Parse(string(record)); err == nil {
		w.Notes.Note(w.Prefix, rec.Limit)
	}
}
