package calls

import (
	"context"
	"fmt"
	"iter"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A Part is some of the keys of one name, of one revision.
type Part struct {
	Prefix string // of the name
	line.Keys
}

// Named is what the keys say.
func (p Part) Named(name string) line.Named {
	n, _ := line.Name(p.Prefix, name, p.All)
	return n
}

// ReadPart reads the keys of one name that begin with below. It takes at most TryTimeout. act is what the caller does, for errors.
func ReadPart[O Option](ctx context.Context, client *clientv3.Client, kind, name, act, below string, opts []O) (Part, error) {
	p, err := Prefix(ctx, client, kind, name, opts)
	if err != nil {
		return Part{}, err
	}
	ctx, cancel := Limit(ctx)
	defer cancel()
	resp, err := client.Get(ctx, p+below, clientv3.WithPrefix())
	if err != nil {
		return Part{}, fmt.Errorf("%s %q: %s: %w", kind, name, act, retry.Answer(ctx, err))
	}
	return Part{p, line.Keys{Rev: resp.Header.Revision, All: resp.Kvs}}, nil
}

// ObservePart yields the keys of one name that begin with below, as they are, and again after each change.
func ObservePart[O Option](ctx context.Context, client *clientv3.Client, kind, name, below string, opts []O) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		p, err := Prefix(ctx, client, kind, name, opts)
		if err != nil {
			yield(Part{}, err)
			return
		}
		for keys, err := range line.ObserveAt(ctx, client, p+below) {
			if err != nil {
				err = fmt.Errorf("%s %q: observe: %w", kind, name, err)
			}
			if !yield(Part{p, keys}, err) {
				return
			}
		}
	}
}
