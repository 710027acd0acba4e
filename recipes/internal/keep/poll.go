package keep

import (
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// pollEvery is how often a range is read for those who want to know how many stand in it.
const pollEvery = time.Second

// poller reads each range for all who ask for it, once every pollEvery.
type poller struct {
	keeper *Keeper
	mu     sync.Mutex
	ranges map[string]map[*Poll]struct{} // that are read, and for whom
}

// A Poll is somebody's standing wish to be told what a range holds.
type Poll struct {
	C    chan []int64 // the last news that was not taken
	stop func()
}

// Stop ends the wish.
func (p *Poll) Stop() { p.stop() }

// Poll has the names below prefix read each second, until Stop, and what digest makes of them sent. Those who poll one prefix, and who share what
// digest makes, share the reads. A read without an answer is left out. It is for those who have begun (Begin).
func (k *Keeper) Poll(prefix string, digest func([]*mvccpb.KeyValue) []int64) *Poll {
	pr := &k.polls
	p := &Poll{C: make(chan []int64, 1)}
	p.stop = func() {
		pr.mu.Lock()
		defer pr.mu.Unlock()
		delete(pr.ranges[prefix], p)
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	waiting := pr.ranges[prefix]
	if waiting == nil {
		waiting = make(map[*Poll]struct{})
		if pr.ranges == nil {
			pr.ranges = make(map[string]map[*Poll]struct{})
		}
		pr.ranges[prefix] = waiting
		k.spawn(func() { pr.run(prefix, digest) })
	}
	waiting[p] = struct{}{}
	return p
}

// run goes on until nobody has asked for a whole round, so that who comes right after the last one has left doesn't begin anew.
func (pr *poller) run(prefix string, digest func([]*mvccpb.KeyValue) []int64) {
	k := pr.keeper
	for pr.wanted(prefix) {
		if resp, err := k.Get(k.open, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()); err == nil {
			pr.send(prefix, digest(resp.Kvs))
		}
		_ = retry.Sleep(k.open, pollEvery)
	}
}

// wanted ends the range if nobody wants it any more.
func (pr *poller) wanted(prefix string) bool {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if len(pr.ranges[prefix]) > 0 && pr.keeper.open.Err() == nil {
		return true
	}
	delete(pr.ranges, prefix)
	return false
}

// send leaves the news with each of those who wait, in the place of what they have not taken.
func (pr *poller) send(prefix string, news []int64) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	for p := range pr.ranges[prefix] {
		select {
		case <-p.C:
		default:
		}
		p.C <- news
	}
}
