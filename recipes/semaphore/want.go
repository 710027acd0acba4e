package semaphore

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
)

// The keys below p/, and one beside it. The package's comment says what they are for.
const (
	limitName  = "limit"
	lookName   = "look"
	slots      = "s/"
	groups     = "g/"
	durableKey = "durable"
)

// A chain asks for slot after slot in one Txn. Each takes two of the 128 conditions, and repeats what its holder tells about itself.
const (
	longestChain = 56
	chainBytes   = 512 << 10
)

func slotName(i int) string { return slots + digits(i) }

// slotOf is the number of the slot called name.
func slotOf(name string) (i int, ok bool) {
	number, ok := strings.CutPrefix(name, slots)
	if i, err := strconv.Atoi(number); ok && err == nil && slotName(i) == name {
		return i, true
	}
	return 0, false
}

// wants is what an acquisition asks for.
type wants struct {
	request
	call   *calls.Call
	labels map[string]string // the session's
}

// atLeast compares that the limit is n or more: whatever the record says follows the digits, and makes it larger than them alone.
func atLeast(g line.Grantee, n int) clientv3.Cmp {
	return clientv3.Compare(clientv3.Value(g.Key(limitName)), ">", digits(n))
}

func below(g line.Grantee, n int) clientv3.Cmp {
	return clientv3.Compare(clientv3.Value(g.Key(limitName)), "<", digits(n))
}

func free(g line.Grantee, name string) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(g.Key(name)), "=", 0)
}

// right compares that the limit is one under which it may wait.
func (w *wants) right(g line.Grantee) []clientv3.Cmp {
	if w.expect != nil {
		return []clientv3.Cmp{atLeast(g, *w.expect), below(g, *w.expect+1)}
	}
	return []clientv3.Cmp{atLeast(g, w.n)}
}

// chain is how many slots are asked for in turn: as many as there were when somebody last looked.
func (w *wants) chain(g line.Grantee) int {
	n := longestChain
	if limit, ok := w.call.Keeper.Noted(w.call.Prefix); ok {
		n = min(n, limit)
	}
	return max(1, min(n, chainBytes/g.Size(slotName(0))))
}

// Blind takes the first slot that is free, if one is enough and a free slot below the limit is to be had.
func (w *wants) Blind(g line.Grantee, otherwise clientv3.Op) clientv3.Op {
	if w.n > 1 {
		return otherwise
	}
	op := otherwise
	for i := w.chain(g) - 1; i >= 0; i-- {
		take := []clientv3.Op{g.Put(slotName(i)), clientv3.OpGet(g.Key(limitName))}
		op = clientv3.OpTxn([]clientv3.Cmp{free(g, slotName(i)), atLeast(g, i+1)}, take, []clientv3.Op{op})
	}
	ifs := []clientv3.Cmp{free(g, lookName)}
	if w.expect != nil {
		ifs = append(ifs, w.right(g)...)
	}
	return clientv3.OpTxn(ifs, []clientv3.Op{op}, []clientv3.Op{otherwise})
}

// Gate stands in line if the limit allows to wait, and looks if it doesn't, if several are wanted, or if the chain may have been too short.
func (w *wants) Gate(g line.Grantee, alone bool, join, look clientv3.Op) clientv3.Op {
	switch {
	case !alone:
		closed := clientv3.OpTxn([]clientv3.Cmp{below(g, 1)}, []clientv3.Op{join}, []clientv3.Op{look})
		return clientv3.OpTxn(w.right(g), []clientv3.Op{join}, []clientv3.Op{closed})
	case w.n > 1:
		return look
	}
	full := append(w.right(g), free(g, lookName), below(g, w.chain(g)+1))
	return clientv3.OpTxn(full, []clientv3.Op{join}, []clientv3.Op{look})
}

// Plan takes the lowest slots that are free. If a free slot doesn't tell that it is to be had, nobody may have been let in since the view.
func (w *wants) Plan(view *line.View, g line.Grantee) (line.Grant, bool, error) {
	rec, rev, err := w.limit(view)
	if err != nil || rec.limit == 0 {
		return line.Grant{}, false, err
	}
	if err := w.admissible(rec); err != nil {
		return line.Grant{}, false, err
	}
	h := holds(view, rec)
	names := h.free(w.n)
	if h.taken+w.n > rec.limit || len(names) < w.n {
		return line.Grant{}, false, nil
	}
	grant := line.Grant{If: []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(g.Key(limitName)), "=", rev)}}
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
func (w *wants) limit(view *line.View) (rec record, rev int64, err error) {
	kv := view.Get(limitName)
	if kv == nil {
		return record{}, 0, ErrNoLimit
	}
	rec, err = parseRecord(string(kv.Value))
	if err != nil {
		return record{}, 0, err
	}
	w.call.Keeper.Note(w.call.Prefix, rec.limit)
	return rec, kv.ModRevision, nil
}

// admissible says why the request can't be granted under this limit, whoever gives back what.
func (w *wants) admissible(rec record) error {
	switch {
	case w.expect != nil && *w.expect != rec.limit:
		return fmt.Errorf("%w: it is %d, and %d is expected", ErrLimitMismatch, rec.limit, *w.expect)
	case w.n > rec.limit:
		return &LimitError{Name: w.call.Name, Asked: w.n, Limit: rec.limit}
	case rec.Spread == nil:
		return nil
	}
	s := *rec.Spread
	if _, ok := w.labels[s.Label]; !ok {
		return fmt.Errorf("%w: %q", ErrNoLabel, s.Label)
	}
	if w.n > s.Most {
		return &LimitError{Name: w.call.Name, Asked: w.n, Limit: rec.limit, Label: s.Label, Most: s.Most}
	}
	return nil
}

// held are the slots in a view.
type held struct {
	is    []bool // taken, of those below the limit
	taken int    // in all
	above bool   // one is, from the limit on
}

func holds(view *line.View, rec record) held {
	h := held{is: make([]bool, rec.limit)}
	for name := range view.Names(slots) {
		i, ok := slotOf(name)
		if !ok {
			continue
		}
		h.taken++
		if i < rec.limit {
			h.is[i] = true
		} else {
			h.above = true
		}
	}
	return h
}

// free are the names of the first n that are.
func (h held) free(n int) (names []string) {
	for i := 0; i < len(h.is) && len(names) < n; i++ {
		if !h.is[i] {
			names = append(names, slotName(i))
		}
	}
	return names
}

// group are names for the permits among those of the sessions with the same label. Those are counted by what their slots tell, so that the ones who came
// before the spread was set count as well.
func (w *wants) group(view *line.View, s SpreadLimit) (names []string, ok bool) {
	value, taken := w.labels[s.Label], 0
	for name := range view.Names(slots) {
		if v, has := view.Labels(name)[s.Label]; has && v == value {
			taken++
		}
	}
	prefix := groups + url.PathEscape(s.Label) + "/" + url.PathEscape(value) + "/"
	for j := 0; j < s.Most && len(names) < w.n; j++ {
		if name := prefix + digits(j); view.Get(name) == nil {
			names = append(names, name)
		}
	}
	return names, taken+w.n <= s.Most && len(names) == w.n
}
