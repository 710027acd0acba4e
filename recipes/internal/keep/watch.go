package keep

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Key is a key that was written once, at Rev, and is its writer's until the next write to it.
type Key struct {
	Name string
	Rev  int64
}

// Is compares, in a Txn, that nobody has written the key since.
func (k Key) Is() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(k.Name), "=", k.Rev)
}

// in reports whether the answer to a read of the key shows it as it was written.
func (k Key) in(kvs []*mvccpb.KeyValue) bool {
	return len(kvs) == 1 && kvs[0].ModRevision == k.Rev
}

// A Watch is a watch that etcd has opened.
type Watch struct {
	// C has the events. It is closed when etcd, the network or Close ends the watch: open another, then read the key.
	C      clientv3.WatchChan
	cancel context.CancelFunc
}

// Close ends the watch.
func (w *Watch) Close() { w.cancel() }

var (
	errWatchEnded = errors.New("etcd ended the watch")
	errNotOpened  = fmt.Errorf("open a watch: %w", errNoAnswer)
)

// Watch opens a watch on key (or on a range that begins there) from now on and returns when etcd says that it is open: what is read after that misses nothing.
// ctx bounds the opening alone; the watch lasts until Close. (A watch from a revision that etcd has already would wait
// in etcd's catch-up loop, for up to 100 ms.)
func (k *Keeper) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) (*Watch, error) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	if k.stream.enter() {
		k.spawn(func() { k.holdStream(key) })
	}
	wctx, end := context.WithCancel(clientv3.WithRequireLeader(k.alive))
	cancel := sync.OnceFunc(func() {
		end()
		k.stream.leave()
	})
	ctx, timeout := context.WithTimeoutCause(ctx, requestTimeout, errNotOpened)
	defer timeout()
	stop := context.AfterFunc(ctx, cancel)
	c := k.client.Watch(wctx, key, append(opts, clientv3.WithCreatedNotify())...)
	resp, ok := <-c
	if !stop() {
		cancel()
		return nil, retry.Answer(ctx, ctx.Err())
	}
	if err := resp.Err(); !ok || err != nil || !resp.Created {
		cancel()
		return nil, errors.Join(errWatchEnded, err)
	}
	return &Watch{C: c, cancel: cancel}, nil
}
