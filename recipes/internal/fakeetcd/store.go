package fakeetcd

import (
	"slices"
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// version is a key as it was from a revision on.
type version struct {
	rev int64
	kv  *mvccpb.KeyValue // never changed; nil: deleted
}

// store has every version of every key since the last compaction.
type store struct {
	rev       int64 // of the last change; an empty etcd is at 1
	compacted int64
	items     map[string][]version
	keys      []string   // of items, in order
	log       []revision // since compacted
}

// revision is what changed at once.
type revision struct {
	rev    int64
	events []*mvccpb.Event
}

func newStore() store {
	return store{rev: 1, items: make(map[string][]version)}
}

// at is the key as it was at rev, or nil.
func (s *store) at(key string, rev int64) *mvccpb.KeyValue {
	for _, v := range slices.Backward(s.items[key]) {
		if v.rev <= rev {
			return v.kv
		}
	}
	return nil
}

// span is the range of keys that a request names: end nil is one key, "\x00" all from key on.
type span struct {
	key  string
	end  string
	many bool
	all  bool // no upper bound
}

func spanOf(key, end []byte) span {
	return span{key: string(key), end: string(end), many: len(end) > 0, all: len(end) == 1 && end[0] == 0}
}

func (sp span) has(key string) bool {
	if !sp.many {
		return key == sp.key
	}
	return key >= sp.key && (sp.all || key < sp.end)
}

// within calls f for each key of sp that exists or has existed, in order.
func (s *store) within(sp span, f func(key string)) {
	if !sp.many {
		f(sp.key)
		return
	}
	for i := sort.SearchStrings(s.keys, sp.key); i < len(s.keys) && (sp.all || s.keys[i] < sp.end); i++ {
		f(s.keys[i])
	}
}

func (s *store) read(sp span, rev int64) (kvs []*mvccpb.KeyValue) {
	s.within(sp, func(key string) {
		if kv := s.at(key, rev); kv != nil {
			kvs = append(kvs, kv)
		}
	})
	return kvs
}

// change collects what one request changes, at one revision.
type change struct {
	store  *store
	events []*mvccpb.Event
}

// rev is the revision that reads within the request see.
func (c *change) rev() int64 {
	if len(c.events) > 0 {
		return c.store.rev + 1
	}
	return c.store.rev
}

func (c *change) put(key string, value []byte, lease int64) {
	s, rev := c.store, c.store.rev+1
	kv := &mvccpb.KeyValue{Key: []byte(key), Value: value, CreateRevision: rev, ModRevision: rev, Version: 1, Lease: lease}
	if old := s.at(key, rev); old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	}
	c.write(key, version{rev, kv}, &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: kv})
}

// del reports how many keys there were to delete.
func (c *change) del(sp span) (deleted int64) {
	s, rev := c.store, c.store.rev+1
	for _, kv := range s.read(sp, rev) {
		gone := &mvccpb.KeyValue{Key: kv.Key, ModRevision: rev}
		c.write(string(kv.Key), version{rev, nil}, &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: gone})
		deleted++
	}
	return deleted
}

func (c *change) write(key string, v version, ev *mvccpb.Event) {
	s := c.store
	versions, known := s.items[key]
	if !known {
		i, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Insert(s.keys, i, key)
	}
	s.items[key] = append(versions, v)
	c.events = append(c.events, ev)
}

// commit makes it the store's next revision, if anything has changed.
func (c *change) commit() {
	if len(c.events) == 0 {
		return
	}
	c.store.rev++
	c.store.log = append(c.store.log, revision{c.store.rev, c.events})
}

// compact forgets what nobody can ask for any more.
func (s *store) compact(rev int64) error {
	switch {
	case rev <= s.compacted:
		return rpctypes.ErrGRPCCompacted
	case rev > s.rev:
		return rpctypes.ErrGRPCFutureRev
	}
	s.compacted = rev
	s.log = slices.DeleteFunc(s.log, func(r revision) bool { return r.rev < rev })
	s.keys = slices.DeleteFunc(s.keys, func(key string) bool {
		kept := after(s.items[key], rev)
		if len(kept) == 0 {
			delete(s.items, key)
			return true
		}
		s.items[key] = kept
		return false
	})
	return nil
}

// after are the versions that can be read at rev and later.
func after(versions []version, rev int64) []version {
	for len(versions) > 1 && versions[1].rev <= rev {
		versions = versions[1:]
	}
	if len(versions) == 1 && versions[0].kv == nil && versions[0].rev <= rev {
		return nil
	}
	return slices.Clone(versions)
}
