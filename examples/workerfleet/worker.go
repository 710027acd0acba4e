package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// worker works on the shards that the plan gives it.
type worker struct {
	name    string
	client  *clientv3.Client
	session *session.Session

	shards sync.WaitGroup
	mine   map[int]context.CancelFunc // what it works on, or waits for
}

// work follows the plan until ctx ends, and returns when all work has.
func (w *worker) work(ctx context.Context) error {
	w.mine = map[int]context.CancelFunc{}
	defer func() {
		w.take(nil)
		w.shards.Wait()
	}()
	for ctx.Err() == nil {
		if err := w.follow(ctx); err != nil && ctx.Err() == nil {
			fmt.Println(w.name, "can't read the plan, and goes on with what it has:", err)
			pause(ctx, time.Second)
		}
	}
	return nil
}

// follow takes each version of the plan, until the watch ends.
func (w *worker) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	p, rev, err := readPlan(ctx, w.client)
	if err != nil {
		return err
	}
	changes := w.client.Watch(ctx, planPrefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
	w.take(p)
	for resp := range changes {
		if err := resp.Err(); err != nil {
			return err
		}
		if p, _, err = readPlan(ctx, w.client); err != nil {
			return err
		}
		w.take(p)
	}
	return nil
}

// take begins with what is new, and ends what others are to do.
func (w *worker) take(p plan) {
	for shard, cancel := range w.mine {
		if p[shard] != w.name {
			cancel()
			delete(w.mine, shard)
		}
	}
	for shard, name := range p {
		if w.mine[shard] == nil && name == w.name {
			ctx, cancel := context.WithCancel(context.Background())
			w.mine[shard] = cancel
			w.shards.Go(func() { w.keep(ctx, shard) })
		}
	}
}

// keep works on one shard until ctx ends. If the lock is lost it asks for it again.
func (w *worker) keep(ctx context.Context, shard int) {
	for ctx.Err() == nil {
		err := lock.Do(ctx, w.session, fmt.Sprintf("%s/shard/%04d", fleet, shard), func(ctx context.Context) error {
			return w.on(ctx, shard)
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, session.ErrLost) {
			fmt.Println(w.name, "can't work on shard", shard, err)
			pause(ctx, time.Second)
		}
	}
}

// on is the work on a shard. Whatever it writes is guarded by the claim in ctx (packages fencing/...).
func (w *worker) on(ctx context.Context, shard int) error {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		return err
	}
	fmt.Println(w.name, "works on shard", shard, "with token", claim.Token)
	defer fmt.Println(w.name, "has left shard", shard)
	<-ctx.Done()
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
