package line

import (
	"context"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// A Lineup is everybody in a line, as of one revision.
type Lineup struct {
	Waiting State
	prefix  string
	dead    []keep.Key         // marks before the first who waits: nobody stands behind them but that one
	gone    []*mvccpb.KeyValue // marks of those who have left without a place
}

// Lineup reads the line.
func (ln *Line) Lineup(ctx context.Context) (*Lineup, error) {
	resp, err := ln.keeper.Get(ctx, ln.prefix+"e/", clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	return lineup(ln.prefix, resp.Kvs), nil
}

func lineup(prefix string, entries []*mvccpb.KeyValue) *Lineup {
	l := &Lineup{prefix: prefix}
	entries = slices.DeleteFunc(entries, func(kv *mvccpb.KeyValue) bool { return entryID(prefix, kv) == "" })
	l.Waiting, _ = Parse(prefix, entries)
	for _, kv := range entries {
		if !live(kv) && (len(l.Waiting) == 0 || kv.CreateRevision < l.Waiting[0].Rev) {
			l.dead = append(l.dead, markKey(kv))
		}
		if !live(kv) && len(readMark(kv).Places) == 0 && readMark(kv).State != passed {
			l.gone = append(l.gone, kv)
		}
	}
	return l
}

// Grantee is the i-th in line, for whoever appoints it.
func (l *Lineup) Grantee(i int) Grantee {
	x := l.Waiting[i]
	return Grantee{ID: x.ID, Lease: x.Lease, prefix: l.prefix, value: encode(placeValue{x.ID, x.Details})}
}

// Appoint gives places to the i-th in line and takes it out. The conditions hold as long as it stands where it stood. It learns of it
// from the mark on its own entry, which it deletes when it releases the places.
func (l *Lineup) Appoint(i int, places ...string) (ifs []clientv3.Cmp, then []clientv3.Op) {
	x, g := l.Waiting[i], l.Grantee(i)
	for _, name := range places {
		then = append(then, g.Put(name))
	}
	ifs = append(ifs, l.stands(i))
	if i > 0 {
		before := l.Waiting[i-1].ID
		left := l.put(x, mark{State: granted, At: time.Now(), Behind: before, Places: places})
		back := clientv3.OpPut(l.prefix+"tail", before)
		return append(ifs, l.stands(i-1)), append(then, l.ifLast(x, []clientv3.Op{back, left}, []clientv3.Op{left}))
	}
	for _, key := range l.dead[:min(len(l.dead), perTxn)] {
		then = append(then, clientv3.OpTxn([]clientv3.Cmp{key.Is()}, []clientv3.Op{clientv3.OpDelete(key.Name)}, nil))
	}
	return ifs, append(then, l.leaves(x, clientv3.OpDelete(l.prefix+"tail"), passed, places))
}

// runLength is how many are let in together with the head: each takes two of the 128 conditions and operations of a Txn.
const runLength = 40

// runBytes is how much they may be told to write, of the 1.5 MiB that a request may have: what people tell about themselves may be long.
const runBytes = 512 << 10

// run is the places of those right behind the head that may be let in together with it. Two may want one place: who gives up and comes back
// stands in line twice for a moment.
func (l *Lineup) run(head *Entry, view *View, with func(d Details) (string, bool)) (places []string) {
	if len(l.Waiting) == 0 || l.Waiting[0].ID != head.id {
		return nil
	}
	taken := map[string]bool{head.details.Want: true}
	size := 0
	for i, x := range l.Waiting[1:] {
		place, ok := with(x.Details)
		size += len(l.Grantee(i + 1).value)
		if !ok || taken[place] || view.Get(place) != nil || len(places) == runLength || size > runBytes {
			break
		}
		taken[place] = true
		places = append(places, place)
	}
	return places
}

// between are the marks in front of the i-th in line.
func (l *Lineup) between(i int) (marks []keep.Key) {
	for _, kv := range l.gone {
		if kv.CreateRevision < l.Waiting[i].Rev {
			marks = append(marks, markKey(kv))
		}
	}
	return marks
}

// AppointRun gives places to those from the first-th in line on, one to each; whoever stands before them leaves in the same Txn, with
// a mark that says so. The last of them passes the head on.
func (l *Lineup) AppointRun(first int, places []string) (ifs []clientv3.Cmp, then []clientv3.Op) {
	for i, name := range places {
		x, g := l.Waiting[first+i], l.Grantee(first+i)
		ifs = append(ifs, l.stands(first+i), absent(g.Key(name)))
		then = append(then, g.Put(name))
		if i < len(places)-1 {
			m := mark{State: granted, At: time.Now(), Places: []string{name}, With: true}
			then = append(then, clientv3.OpPut(l.prefix+"e/"+x.ID, encode(m), clientv3.WithLease(x.Lease)))
		} else {
			then = append(then, l.leaves(x, clientv3.OpDelete(l.prefix+"tail"), passed, []string{name}))
		}
	}
	return ifs, then
}

func (l *Lineup) stands(i int) clientv3.Cmp {
	x := l.Waiting[i]
	return keep.Key{Name: l.prefix + "e/" + x.ID, Rev: x.Rev}.Is()
}

// leaves ends x's entry: if it is the last in line by tail, otherwise by a mark with state.
func (l *Lineup) leaves(x Standing, tail clientv3.Op, state string, places []string) clientv3.Op {
	return l.ifLast(x, []clientv3.Op{tail, l.mark(x, granted, places...)}, []clientv3.Op{l.mark(x, state, places...)})
}

func (l *Lineup) ifLast(x Standing, last, otherwise []clientv3.Op) clientv3.Op {
	return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(l.prefix+"tail"), "=", x.ID)}, last, otherwise)
}

func (l *Lineup) mark(x Standing, state string, places ...string) clientv3.Op {
	return l.put(x, mark{State: state, At: time.Now(), Places: places})
}

func (l *Lineup) put(x Standing, m mark) clientv3.Op {
	return clientv3.OpPut(l.prefix+"e/"+x.ID, encode(m), clientv3.WithLease(x.Lease))
}
