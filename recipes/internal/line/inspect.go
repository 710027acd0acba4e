package line

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/keys"
)

// A Standing is one live entry as others see it.
type Standing struct {
	Details
	ID    string
	Rev   int64
	Lease clientv3.LeaseID
	// Since is when it got to the head, by the wall clock of whoever passed on to it; for the first in line, and after a crash,
	// when it joined. It is zero for those who wait.
	Since time.Time
	// Revoking is what it was asked, if it holds and somebody wants it back.
	Revoking *keep.Revocation
}

// State is a line at one revision: the head, then those who wait in order.
type State []Standing

// Read reads the line under prefix. A tail that names nobody alive, which a crash leaves behind, is swept in passing.
func Read(ctx context.Context, kv clientv3.KV, prefix string) (State, error) {
	n, err := ReadNamed(ctx, kv, prefix, "")
	return n.State, err
}

// ReadNamed reads all that stands under prefix, the name's. What Read says of a tail holds here too.
func ReadNamed(ctx context.Context, kv clientv3.KV, prefix, name string) (Named, error) {
	resp, err := kv.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return Named{}, err
	}
	n, tail := Name(prefix, name, resp.Kvs)
	if len(n.State) == 0 && tail != nil {
		_ = Sweep(ctx, kv, DeadTail{prefix, tail.ModRevision}) // whoever may only read leaves it to others
	}
	return n, nil
}

// Name is what the keys under prefix, the name's, say.
func Name(prefix, name string, kvs []*mvccpb.KeyValue) (n Named, tail *mvccpb.KeyValue) {
	n = Named{Name: name, prefix: prefix}
	n.State, tail = Parse(prefix, kvs)
	n.Holders, n.Records = occupied(prefix, kvs)
	n.Beside = besides(prefix, kvs)
	n.revocations(kvs)
	n.kept(kvs)
	return n, tail
}

// kept finds out whether a lock is kept after a former holder. What the holder has written for that itself doesn't count.
func (n *Named) kept(kvs []*mvccpb.KeyValue) {
	for _, kv := range kvs {
		if !strings.HasPrefix(string(kv.Key), n.prefix+kept) {
			continue
		}
		v := readPlace(kv)
		if len(n.Kept) > 0 || len(n.State) > 0 && n.State[0].ID == v.ID {
			continue
		}
		n.Kept, n.keptBy = State{{Details: v.Details, ID: v.ID, Rev: kv.ModRevision, Lease: clientv3.LeaseID(kv.Lease)}}, markKey(kv)
		if len(n.State) > 0 {
			n.State[0].Since = time.Time{}
		}
	}
}

// Head is who holds a lock: the first in its line, unless that has to wait until the lock isn't kept any more.
func (n Named) Head() State {
	if len(n.Kept) > 0 {
		return nil
	}
	return n.State[:min(1, len(n.State))]
}

// Behind are those who wait for a lock, in order.
func (n Named) Behind() State { return n.State[len(n.Head()):] }

// Parse makes the state of the line under prefix of its keys.
func Parse(prefix string, kvs []*mvccpb.KeyValue) (s State, tail *mvccpb.KeyValue) {
	var marks []*mvccpb.KeyValue
	for _, kv := range kvs {
		id := entryID(prefix, kv)
		switch {
		case string(kv.Key) == prefix+"tail":
			tail = kv
		case id != "" && live(kv):
			s = append(s, Standing{Details: readDetails(kv), ID: id, Rev: kv.CreateRevision, Lease: clientv3.LeaseID(kv.Lease)})
		case id != "":
			marks = append(marks, kv)
		}
	}
	slices.SortFunc(s, func(a, b Standing) int { return cmp.Compare(a.Rev, b.Rev) })
	if len(s) > 0 {
		s[0].Since = since(s[0], marks)
	}
	return s, tail
}

// since looks for the mark with which the head was passed on to s: the last one to pass of those before it.
func since(s Standing, marks []*mvccpb.KeyValue) time.Time {
	var last int64
	at := s.At
	for _, kv := range marks {
		if kv.CreateRevision > s.Rev || kv.ModRevision < s.Rev || kv.ModRevision < last {
			continue
		}
		if m := readMark(kv); m.State == passed {
			last, at = kv.ModRevision, m.At
		}
	}
	return at
}

// A DeadTail is the tail of the line under Prefix, as it was at Rev, when the line had no entries.
type DeadTail struct {
	Prefix string
	Rev    int64
}

// Sweep removes tails, if they are still as they were and the lines have no entries. Many go in one Txn.
func Sweep(ctx context.Context, kv clientv3.KV, dead ...DeadTail) error {
	for some := range slices.Chunk(dead, perTxn) {
		ops := make([]clientv3.Op, len(some))
		for i, d := range some {
			tail := d.Prefix + "tail"
			ops[i] = clientv3.OpTxn([]clientv3.Cmp{
				clientv3.Compare(clientv3.ModRevision(tail), "=", d.Rev),
				clientv3.Compare(clientv3.CreateRevision(d.Prefix+"e/"), "=", 0).WithPrefix(),
			}, []clientv3.Op{clientv3.OpDelete(tail)}, nil)
		}
		if _, err := kv.Txn(ctx).Then(ops...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

// Named is the line of one name, and who has its places.
type Named struct {
	Name    string
	State   State
	Holders State
	Records map[string]string // what else stands beside the places, by name: the recipe's own
	Beside  map[string]string // what stands beside a place itself, by the place's name with '!' and more
	Kept    State             // the former holder after whom a lock is kept, if it is
	Revoked []keep.Revocation // lately, the last one first

	prefix string
	keptBy keep.Key
	noted  int64 // the revision of the record that Revoked was read from
}

// ReadAll reads all lines of one kind in which somebody stands or has a place, or of which there is a record, or that are kept, by name.
// Tails left behind by crashes are swept.
func ReadAll(ctx context.Context, kv clientv3.KV, root, kind string) ([]Named, error) {
	resp, err := kv.Get(ctx, keys.Kind(root, kind), clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	var lines []Named
	var dead []DeadTail
	for kvs := resp.Kvs; len(kvs) > 0; {
		name, n := leading(root, kind, kvs)
		if name != "" {
			prefix := keys.Prefix(root, kind, name)
			named, tail := Name(prefix, name, kvs[:n])
			if len(named.State) == 0 && tail != nil {
				dead = append(dead, DeadTail{prefix, tail.ModRevision})
			}
			if len(named.State) > 0 || len(named.Holders) > 0 || len(named.Records) > 0 || len(named.Kept) > 0 {
				lines = append(lines, named)
			}
		}
		kvs = kvs[n:]
	}
	_ = Sweep(ctx, kv, dead...) // whoever may only read leaves them to others
	slices.SortFunc(lines, func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
	return lines, nil
}

// occupied are those who have places among kvs, by revision, Want being the place's name; and what else stands there, by name.
func occupied(prefix string, kvs []*mvccpb.KeyValue) (s State, records map[string]string) {
	for _, kv := range kvs {
		name, ok := strings.CutPrefix(string(kv.Key), prefix+places)
		if !ok || keep.IsBeside(string(kv.Key)) {
			continue
		}
		v := readPlace(kv)
		if v.ID == "" {
			if records == nil {
				records = make(map[string]string)
			}
			records[name] = string(kv.Value)
			continue
		}
		v.Want = name
		s = append(s, Standing{Details: v.Details, ID: v.ID, Rev: kv.ModRevision, Lease: clientv3.LeaseID(kv.Lease)})
	}
	slices.SortStableFunc(s, func(a, b Standing) int { return cmp.Compare(a.Rev, b.Rev) })
	return s, records
}

// besides are the values of what stands beside the places.
func besides(prefix string, kvs []*mvccpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, kv := range kvs {
		if name, ok := strings.CutPrefix(string(kv.Key), prefix+places); ok && keep.IsBeside(name) {
			all[name] = string(kv.Value)
		}
	}
	return all
}

// leading is the name that the first of kvs belongs to, and how many of them do. What no recipe wrote is one without a name.
func leading(root, kind string, kvs []*mvccpb.KeyValue) (name string, n int) {
	name, _, ok := keys.Split(root, kind, string(kvs[0].Key))
	if !ok {
		return "", 1
	}
	prefix := keys.Prefix(root, kind, name)
	n = 1 // whatever Split says of it
	for n < len(kvs) && strings.HasPrefix(string(kvs[n].Key), prefix) {
		n++
	}
	return name, n
}
