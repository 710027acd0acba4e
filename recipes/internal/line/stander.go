package line

import (
	"context"
	"iter"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A Stander is a Want that does something as long as it stands in line: until stop, which waits for the end of it. ctx ends with the acquisition.
type Stander interface {
	Stands(ctx context.Context, e *Entry) (stop func())
}

// ID is the id of the entry.
func (e *Entry) ID() string { return e.id }

// Occupied yields who has the places, as it is, and again after each change.
func (e *Entry) Occupied(ctx context.Context) iter.Seq2[Named, error] {
	return func(yield func(Named, error) bool) {
		for keys, err := range ObserveAt(ctx, e.line.keeper.Client(), e.line.prefix+places) {
			n, _ := Name(e.line.prefix, "", keys.All)
			if !yield(n, err) {
				return
			}
		}
	}
}

// Ask puts a wish beside the place of s, as long as e stands in line and s has the place; once, if nobody else has asked.
func (e *Entry) Ask(ctx context.Context, s Standing, r keep.Revocation) error {
	place := keep.Key{Name: PlaceKey(e.line.prefix, s.Want), Rev: s.Rev}
	wish := keep.RevokeKey(place.Name)
	ask := clientv3.OpPut(wish, encode(r), clientv3.WithLease(s.Lease))
	return retry.Until(ctx, func(ctx context.Context) error {
		_, err := e.line.keeper.Txn(ctx, []clientv3.Cmp{place.Is(), e.Key().Is(), absent(wish)}, []clientv3.Op{ask}, nil)
		return err
	})
}
