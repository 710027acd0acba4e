package line

import (
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// count begins to count those in front, if that is wanted. Whoever waits for one line in one session shares one read a second.
func (e *Entry) count() (stop func()) {
	if e.line.terms.Tell == nil {
		return func() {}
	}
	e.census = e.line.keeper.Poll(e.line.prefix+"e/", e.line.joins)
	return func() {
		e.census.Stop()
		e.census = nil
	}
}

// joins are the revisions at which those have joined who are in the line, in order.
func (ln *Line) joins(kvs []*mvccpb.KeyValue) (revs []int64) {
	for _, kv := range kvs {
		if entryID(ln.prefix, kv) != "" && live(kv) {
			revs = append(revs, kv.CreateRevision)
		}
	}
	slices.Sort(revs)
	return revs
}

// counted is where the joins come, nil if nobody counts.
func (e *Entry) counted() <-chan []int64 {
	if e.census == nil {
		return nil
	}
	return e.census.C
}

// tell tells how many are in front, if that has changed. An entry that isn't in line any more isn't told.
func (e *Entry) tell(revs []int64) {
	ahead, there := slices.BinarySearch(revs, e.rev)
	if there && (!e.told || ahead != e.ahead) {
		e.told, e.ahead = true, ahead
		e.line.terms.Tell(ahead)
	}
}
