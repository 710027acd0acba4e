package calls

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Reading is what the options of those who have no session set.
type Reading struct {
	Root string
	By   string // who asks
	ID   string // of whom is asked
}

// An Option is one of a recipe's for those who have no session.
type Option interface{ ~func(*Reading) }

// root checks what somebody who only looks has given.
func root[O Option](ctx context.Context, client *clientv3.Client, opts []O) (string, error) {
	r := Reading{Root: keys.DefaultRoot}
	for _, opt := range opts {
		if opt != nil {
			opt(&r)
		}
	}
	switch {
	case ctx == nil:
		return "", errors.New("the context is nil")
	case client == nil || client.KV == nil || client.Watcher == nil:
		return "", errors.New("the etcd client is nil, or not connected to anything")
	}
	return r.Root, keys.CheckRoot(r.Root)
}

// Prefix is that of the keys of one name, once everything that somebody has given was checked.
func Prefix[O Option](ctx context.Context, client *clientv3.Client, kind, name string, opts []O) (string, error) {
	if err := keys.CheckName(name); err != nil {
		return "", fmt.Errorf("%s: %w", kind, err)
	}
	r, err := root(ctx, client, opts)
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", kind, name, err)
	}
	return keys.Prefix(r, kind, name), nil
}

// Inspect reads the state of one name. It takes at most TryTimeout.
func Inspect[S any, O Option](ctx context.Context, client *clientv3.Client, kind, name string, opts []O, state func(line.Named) S) (S, error) {
	var none S
	p, err := Prefix(ctx, client, kind, name, opts)
	if err != nil {
		return none, err
	}
	ctx, cancel := Limit(ctx)
	defer cancel()
	n, err := line.ReadNamed(ctx, client.KV, p, name)
	if err != nil {
		return none, fmt.Errorf("%s %q: inspect: %w", kind, name, retry.Answer(ctx, err))
	}
	return state(n), nil
}

// List reads the state of every name of the kind that is in use. It takes at most TryTimeout.
func List[S any, O Option](ctx context.Context, client *clientv3.Client, kind string, opts []O, state func(line.Named) S) ([]S, error) {
	r, err := root(ctx, client, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	ctx, cancel := Limit(ctx)
	defer cancel()
	names, err := line.ReadAll(ctx, client.KV, r, kind)
	if err != nil {
		return nil, fmt.Errorf("%s: list: %w", kind, retry.Answer(ctx, err))
	}
	states := make([]S, len(names))
	for i, n := range names {
		states[i] = state(n)
	}
	return states, nil
}

// Watch yields the state of one name as it is, and again whenever it has changed.
func Watch[S any, O Option](ctx context.Context, client *clientv3.Client, kind, name string, opts []O, state func(line.Named) S) iter.Seq2[S, error] {
	return func(yield func(S, error) bool) {
		var none S
		p, err := Prefix(ctx, client, kind, name, opts)
		if err != nil {
			yield(none, err)
			return
		}
		var told *S
		for kvs, err := range line.Observe(ctx, client, p) {
			if err != nil {
				yield(none, fmt.Errorf("%s %q: watch: %w", kind, name, err))
				return
			}
			n, _ := line.Name(p, name, kvs)
			now := state(n)
			if told != nil && reflect.DeepEqual(*told, now) {
				continue // a mark was left, or buried
			}
			if told = &now; !yield(now, nil) {
				return
			}
		}
	}
}
