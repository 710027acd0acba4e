package keep

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Everyone who waits looks again now and then, in case a watch has missed an event: after rereadAfter and up to as
// much again, drawn at random, with many keys in one Txn.
const rereadAfter = 30 * time.Second

// rereader reads again for all who wait in one session.
type rereader struct {
	keeper  *Keeper
	mu      sync.Mutex
	waiting map[*Reread]struct{}
	running bool
}

// A Reread is somebody's standing wish to have keys read again.
type Reread struct {
	// C gets the keys' states, nil for one that doesn't exist. Rounds are skipped while nobody takes the last one.
	C    chan []*mvccpb.KeyValue
	keys []string
	stop func()
}

// Stop ends the wish.
func (r *Reread) Stop() { r.stop() }

// Reread has keys read again every 30 to 60 s, until Stop. It is for those who have begun (Begin).
func (k *Keeper) Reread(keys ...string) *Reread {
	rr := &k.reread
	r := &Reread{C: make(chan []*mvccpb.KeyValue, 1), keys: keys}
	r.stop = func() {
		rr.mu.Lock()
		defer rr.mu.Unlock()
		delete(rr.waiting, r)
	}
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if rr.waiting == nil {
		rr.waiting = make(map[*Reread]struct{})
	}
	rr.waiting[r] = struct{}{}
	if !rr.running {
		rr.running = true
		k.spawn(rr.run)
	}
	return r
}

// run goes round as long as somebody waits.
func (rr *rereader) run() {
	for {
		err := retry.Sleep(rr.keeper.open, rereadAfter+retry.Jitter(rr.keeper.open, rereadAfter))
		round := rr.round(err != nil)
		if round == nil {
			return
		}
		for len(round) > 0 {
			n := batch(round)
			rr.read(rr.keeper.open, round[:n])
			round = round[n:]
		}
	}
}

// round is everybody who waits, or nil when there is no more to do.
func (rr *rereader) round(closed bool) []*Reread {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if closed || len(rr.waiting) == 0 {
		rr.running = false
		return nil
	}
	round := make([]*Reread, 0, len(rr.waiting))
	for r := range rr.waiting {
		round = append(round, r)
	}
	return round
}

// batch is how many of round fit into one Txn, at least one.
func batch(round []*Reread) int {
	keys := 0
	for i, r := range round {
		if keys += len(r.keys); keys > perLook && i > 0 {
			return i
		}
	}
	return len(round)
}

// read reads for some of them. A failed round is left out: the next one comes.
func (rr *rereader) read(ctx context.Context, round []*Reread) {
	var gets []clientv3.Op
	for _, r := range round {
		for _, key := range r.keys {
			gets = append(gets, clientv3.OpGet(key))
		}
	}
	resp, err := rr.keeper.Txn(ctx, nil, gets, nil)
	if err != nil {
		return
	}
	answers := resp.Responses
	for _, r := range round {
		states := make([]*mvccpb.KeyValue, len(r.keys))
		for i := range r.keys {
			if kvs := answers[i].GetResponseRange().Kvs; len(kvs) == 1 {
				states[i] = kvs[0]
			}
		}
		answers = answers[len(r.keys):]
		select {
		case r.C <- states:
		default:
		}
	}
}
