package line

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// records is where a name keeps who was asked to leave, by whom and why: the last mostRecords times.
const (
	records     = "revoked"
	mostRecords = 16
)

// ErrMoved says that whoever was to go has gone, or has got further, meanwhile: look again.
var ErrMoved = errors.New("it has changed meanwhile")

// Holding are the keys by which one holder, s, has what it has: its places, or, of a line without places, its entry.
func (n *Named) Holding(s Standing) (all []keep.Key) {
	for _, h := range n.Holders {
		if h.ID == s.ID {
			all = append(all, keep.Key{Name: PlaceKey(n.prefix, h.Want), Rev: h.Rev})
		}
	}
	if all == nil {
		all = []keep.Key{{Name: n.prefix + "e/" + s.ID, Rev: s.Rev}}
	}
	return all
}

// Ask puts a wish beside what s has; its holder hears of it. It is ErrMoved if s doesn't have it any more.
func (n *Named) Ask(ctx context.Context, kv clientv3.KV, s Standing, r keep.Revocation) error {
	var ifs []clientv3.Cmp
	var ask []clientv3.Op
	for _, key := range n.Holding(s) { // each is watched by itself
		ifs = append(ifs, key.Is())
		ask = append(ask, clientv3.OpPut(keep.RevokeKey(key.Name), encode(r), clientv3.WithLease(s.Lease)))
	}
	return n.commit(ctx, kv, r, ifs, ask...)
}

// Take takes from s what it has: its tokens are stale from then on. Whoever is next goes on as after a crash.
func (n *Named) Take(ctx context.Context, kv clientv3.KV, s Standing) error {
	var ops []clientv3.Op
	for _, key := range n.Holding(s) {
		take := []clientv3.Op{keep.Delete(key.Name)}
		if len(n.Holders) == 0 { // the holder is in the line
			last := []clientv3.Cmp{clientv3.Compare(clientv3.Value(n.prefix+"tail"), "=", s.ID)}
			take = append(take, clientv3.OpTxn(last, []clientv3.Op{clientv3.OpDelete(n.prefix + "tail")}, nil))
		}
		ops = append(ops, clientv3.OpTxn([]clientv3.Cmp{key.Is()}, take, nil))
	}
	_, err := kv.Txn(ctx).Then(ops...).Commit()
	return err
}

// Remove takes s, who waits, out of the line. It is ErrMoved if s doesn't stand there any more, or behind nobody now.
func (n *Named) Remove(ctx context.Context, kv clientv3.KV, s Standing, r keep.Revocation) error {
	l := &Lineup{Waiting: n.State, prefix: n.prefix}
	i := slices.IndexFunc(n.State, func(o Standing) bool { return o.ID == s.ID })
	ifs := []clientv3.Cmp{l.stands(i)}
	switch {
	case i > 0:
		ifs = append(ifs, l.stands(i-1)) // so it is not at the head
	case len(n.Kept) > 0:
		ifs = append(ifs, n.keptBy.Is())
	}
	out := encode(removal{mark{State: removed, At: r.At}, r.By, r.Reason})
	return n.commit(ctx, kv, r, ifs, clientv3.OpPut(n.prefix+"e/"+s.ID, out, clientv3.WithLease(s.Lease)))
}

// removal is the mark on an entry that somebody has taken out of the line.
type removal struct {
	mark
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// removedBy is what the one who was taken out is told.
func removedBy(kv *mvccpb.KeyValue) error {
	var m removal
	if err := json.Unmarshal(kv.Value, &m); err != nil || m.State != removed || m.By == "" && m.Reason == "" {
		return ErrRemoved
	}
	return &keep.RevokedError{Revocation: keep.Revocation{Act: keep.ActRemove, By: m.By, Reason: m.Reason, At: m.At}}
}

// commit does it, and notes it down, if nothing has changed since n was read.
func (n *Named) commit(ctx context.Context, kv clientv3.KV, r keep.Revocation, ifs []clientv3.Cmp, do ...clientv3.Op) error {
	log := append([]keep.Revocation{r}, n.Revoked...)
	log = log[:min(len(log), mostRecords)]
	note := clientv3.OpPut(n.prefix+records, encode(log))
	ifs = append(ifs, clientv3.Compare(clientv3.ModRevision(n.prefix+records), "=", n.noted))
	resp, err := kv.Txn(ctx).If(ifs...).Then(append(do, note)...).Commit()
	switch {
	case err != nil:
		return err
	case !resp.Succeeded:
		return ErrMoved
	}
	n.Revoked, n.noted = log, resp.Header.Revision
	return nil
}

// revocations takes what was asked: of whom, and lately.
func (n *Named) revocations(kvs []*mvccpb.KeyValue) {
	asked := map[string]*keep.Revocation{}
	for _, kv := range kvs {
		switch key := string(kv.Key); {
		case key == n.prefix+records:
			n.noted = kv.ModRevision
			_ = json.Unmarshal(kv.Value, &n.Revoked) // what can't be read is written anew
		case keep.IsBeside(key) && key == keep.RevokeKey(key[:len(key)-len(keep.RevokeKey(""))]):
			r := keep.ReadRevocation(kv)
			asked[r.ID] = &r
		}
	}
	for _, s := range []State{n.State, n.Holders} {
		for i := range s {
			s[i].Revoking = asked[s[i].ID]
		}
	}
}
