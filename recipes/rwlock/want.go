package rwlock

import (
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/line"
)

// The places: one writer's, and one a reader. Readers reuse names, so that those of the dead don't pile up in etcd.
const (
	writerPlace  = "w"
	readerPlaces = "r/"
)

// wantsWrite wants the writer's place: nobody else's may be taken.
type wantsWrite struct{}

func (wantsWrite) Blind(g line.Grantee, otherwise clientv3.Op) clientv3.Op {
	return clientv3.OpTxn(alone(g), []clientv3.Op{g.Put(writerPlace)}, []clientv3.Op{otherwise})
}

func (wantsWrite) Plan(view *line.View, g line.Grantee) (line.Grant, bool, error) {
	free := view.Get(writerPlace) == nil && !view.Any(readerPlaces)
	return line.Grant{If: alone(g), Then: []clientv3.Op{g.Put(writerPlace)}}, free, nil
}

func alone(g line.Grantee) []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(g.Key(writerPlace)), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(g.Key(readerPlaces)), "=", 0).WithPrefix(),
	}
}

// wantsRead wants a reader's place, by a name that is its own: no writer's may be taken.
type wantsRead struct{ place string }

func (r wantsRead) Blind(g line.Grantee, otherwise clientv3.Op) clientv3.Op {
	return clientv3.OpTxn(r.noWriter(g), []clientv3.Op{g.Put(r.place)}, []clientv3.Op{otherwise})
}

func (r wantsRead) Plan(view *line.View, g line.Grantee) (line.Grant, bool, error) {
	free := view.Get(writerPlace) == nil && view.Get(r.place) == nil
	return line.Grant{If: r.noWriter(g), Then: []clientv3.Op{g.Put(r.place)}, With: reads}, free, nil
}

func (r wantsRead) noWriter(g line.Grantee) []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(g.Key(writerPlace)), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(g.Key(r.place)), "=", 0),
	}
}

// reads is the place that somebody in line waits for, if that is a reader's.
func reads(d line.Details) (place string, ok bool) {
	return d.Want, strings.HasPrefix(d.Want, readerPlaces)
}
