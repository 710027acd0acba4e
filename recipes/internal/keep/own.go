package keep

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// ownAfter is how long a hold lasts before its own key is watched.
const ownAfter = 250 * time.Millisecond

const taken = "its key was changed or deleted, or its lease revoked"

// watchOwn has the own keys watched: at once if that is done already, otherwise when the hold has lasted a while.
func (h *Hold) watchOwn(open []*Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(open) > 0 {
		h.startWatching(open)
		return
	}
	h.watching = time.AfterFunc(ownAfter, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.startWatching(make([]*Watch, len(h.keys)))
	})
}

// startWatching starts a goroutine for each key, unless the hold has ended: then Close may not be waited for by new tasks.
func (h *Hold) startWatching(open []*Watch) {
	for i, w := range open {
		if h.ctx.Err() == nil {
			h.lease.keeper.spawn(func() { h.watchKey(h.keys[i], w) })
		} else if w != nil {
			w.Close()
		}
	}
}

// watchKey ends the hold when key is written by somebody else, as long as the hold lasts.
func (h *Hold) watchKey(key Key, w *Watch) {
	pauses := retry.Pauses(h.lease.ctx)
	for h.ctx.Err() == nil {
		if w == nil {
			var err error
			if w, err = h.openOwn(key); err != nil {
				_ = retry.Sleep(h.ctx, pauses.NextBackOff())
				continue
			}
		}
		h.listen(key, w)
		w.Close()
		w = nil
		_ = retry.Sleep(h.ctx, pauses.NextBackOff()) // one that etcd ends again and again is not to be opened without a pause
	}
	if w != nil {
		w.Close()
	}
}

// openOwn opens the watch, then reads the key and what stands beside it: what was written before is noticed as well.
func (h *Hold) openOwn(key Key) (*Watch, error) {
	k := h.lease.keeper
	w, err := k.WatchOwn(h.ctx, key.Name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := k.Bound(h.ctx, h.lease)
	defer cancel()
	resp, err := k.Txn(ctx, nil, []clientv3.Op{clientv3.OpGet(key.Name, end(key.Name))}, nil)
	if err != nil {
		w.Close()
		return nil, err
	}
	there := false
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		there = there || string(kv.Key) == key.Name && kv.ModRevision == key.Rev
		h.hear(key, kv)
	}
	if !there {
		h.lose(taken)
	}
	return w, nil
}

// hear takes what stands beside the key.
func (h *Hold) hear(key Key, kv *mvccpb.KeyValue) {
	if string(kv.Key) == RevokeKey(key.Name) {
		h.ask(kv)
	}
}

func (h *Hold) listen(key Key, w *Watch) {
	stop := context.AfterFunc(h.ctx, w.Close)
	defer stop()
	for resp := range w.C {
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypePut {
				h.hear(key, ev.Kv)
			}
			if string(ev.Kv.Key) == key.Name && ev.Kv.ModRevision > key.Rev {
				h.lose(taken)
			}
		}
	}
}
