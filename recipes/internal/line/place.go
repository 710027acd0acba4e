package line

import (
	"encoding/json"
	"iter"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// places is the part of a prefix in which the recipe's places stand, and whatever else decides whether one is free.
const places = "p/"

// Placed is the line under prefix of a recipe whose holders have places of their own: its head is the next, not the holder.
func Placed(k *keep.Keeper, prefix string) *Line {
	return &Line{keeper: k, prefix: prefix, placed: true}
}

// Leaving is the line for one acquisition, with left to be called when that is known to have no place and to stand nowhere any more: when it
// was released, or has failed, which may take until the background knows. It may be called twice. It isn't called if the lease ends first.
func (ln *Line) Leaving(left func()) *Line {
	own := *ln
	own.left = left
	return &own
}

// Leaving is Line.Leaving for one that has its place.
func (e *Entry) Leaving(left func()) { e.line = e.line.Leaving(left) }

func (ln *Line) hasLeft() {
	if ln.left != nil {
		ln.left()
	}
}

// failed is what an acquisition ends with that has not got what it wanted.
func (ln *Line) failed(err error) error {
	if err != nil && ln.left != nil && !ln.later {
		ln.left()
	}
	return err
}

// PlaceKey is the full name of a place under the prefix of a line.
func PlaceKey(prefix, name string) string { return prefix + places + name }

// placeName is the name of the place that PlaceKey has made key of.
func placeName(prefix, key string) string { return strings.TrimPrefix(key, prefix+places) }

// A Grantee is who is to get a place. Whatever it is given is given by Put: that ties the place to its id and its lease.
type Grantee struct {
	ID     string
	Lease  clientv3.LeaseID
	prefix string
	value  string
}

// placeValue is what stands in a place.
type placeValue struct {
	ID string `json:"id"` // of the acquisition, as that of its entry
	Details
}

// Put gives the place called name.
func (g Grantee) Put(name string) clientv3.Op {
	return clientv3.OpPut(PlaceKey(g.prefix, name), g.value, clientv3.WithLease(g.Lease))
}

// Key is the full name of a place, for conditions.
func (g Grantee) Key(name string) string { return PlaceKey(g.prefix, name) }

// Size is about how many bytes it takes to give the place called name.
func (g Grantee) Size(name string) int { return 4*len(g.Key(name)) + len(g.value) }

// A Want says what an acquisition wants. It writes places only by Grantee.Put, and only such as are free.
type Want interface {
	// Blind is one operation, for somebody who has read nothing: it gives the place if that is free, and otherwise does otherwise.
	Blind(g Grantee, otherwise clientv3.Op) clientv3.Op
	// Plan says how the head takes the place, if view has it free. Its conditions hold only if view still tells the truth in what
	// matters. An error ends the acquisition.
	Plan(view *View, g Grantee) (grant Grant, free bool, err error)
}

// A Grant is what the head of the line writes to get its place.
type Grant struct {
	If   []clientv3.Cmp
	Then []clientv3.Op
	// With says of somebody who stands in line whether it may have the place that it names at the same time. Those right behind the head
	// that may are let in together with it, up to runLength in one Txn. Nil if nobody may.
	With func(d Details) (place string, ok bool)
	// To says which of those who stand in line, of whom the first is the head, is to have the place called Place instead of the head, which
	// then stays where it is. Nil if the head has it itself.
	To    func(waiting State) int
	Place string

	led  bool // somebody is let in with the head
	away bool // somebody else has the place
}

// A View is what stands in the places, as of a revision.
type View struct {
	Rev    int64
	places map[string]*mvccpb.KeyValue // by name
	prefix string
}

// Get is what stands at name, nil if nothing does.
func (v *View) Get(name string) *mvccpb.KeyValue { return v.places[name] }

// Any reports whether a name begins with prefix.
func (v *View) Any(prefix string) bool {
	for name := range v.places {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Names are those that begin with prefix, in no order.
func (v *View) Names(prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range v.places {
			if strings.HasPrefix(name, prefix) && !yield(name) {
				return
			}
		}
	}
}

// Labels are those of whoever has the place called name.
func (v *View) Labels(name string) map[string]string {
	kv := v.Get(name)
	if kv == nil {
		return nil
	}
	return readPlace(kv).Labels
}

func (ln *Line) view(rev int64, kvs []*mvccpb.KeyValue) *View {
	v := &View{Rev: rev, places: make(map[string]*mvccpb.KeyValue, len(kvs)), prefix: ln.prefix + places}
	for _, kv := range kvs {
		v.places[strings.TrimPrefix(string(kv.Key), v.prefix)] = kv
	}
	return v
}

// apply takes events. Those that the view has seen already change nothing.
func (v *View) apply(events []*clientv3.Event) {
	seen := v.Rev
	for _, ev := range events {
		if ev.Kv.ModRevision <= seen {
			continue
		}
		name := strings.TrimPrefix(string(ev.Kv.Key), v.prefix)
		if ev.Type == clientv3.EventTypeDelete {
			delete(v.places, name)
		} else {
			v.places[name] = ev.Kv
		}
		v.Rev = max(v.Rev, ev.Kv.ModRevision)
	}
}

func readPlace(kv *mvccpb.KeyValue) placeValue {
	var v placeValue
	if !keep.IsBeside(string(kv.Key)) {
		_ = json.Unmarshal(kv.Value, &v) // what isn't a place has no id
	}
	return v
}
