package answers

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// How many cases run at one time: they mostly wait, some for a deadline of 5 s.
const (
	atOnce     = 16
	slowAtOnce = 64
)

// Each runs every scenario once without a fault, to count the requests of its call, and then for each of those in each form (under the race
// detector, which makes all of it slow, in half of them). It fails if a fault does not happen.
func Each(t *testing.T, scenarios map[string]func(*Case)) {
	t.Helper()
	e := &each{others: recipestest.Namespace(t, ""), slots: make(chan struct{}, atOnce), slow: make(chan struct{}, slowAtOnce)}
	var going sync.WaitGroup
	for name, scenario := range scenarios {
		going.Go(func() {
			t.Run(name, func(t *testing.T) { e.scenario(t, scenario) }) // not t.Parallel, which allows one for each core
		})
	}
	going.Wait()
	t.Logf("%d requests without an answer, in %d scenarios", e.met.Load(), len(scenarios))
}

type each struct {
	others *clientv3.Client
	slots  chan struct{}
	slow   chan struct{}
	met    atomic.Int64
}

var parts atomic.Int64 // a part of etcd of its own for each case

func (e *each) scenario(t *testing.T, scenario func(*Case)) {
	t.Helper()
	var sent []bool
	ok := t.Run("counted", func(t *testing.T) { sent = e.run(t, scenario, 0, Form{}).sent })
	if !ok {
		return
	}
	if len(sent) == 0 {
		t.Errorf("the call sends no request")
	}
	var going sync.WaitGroup
	defer going.Wait()
	for j, form := range forms {
		for i, reads := range sent {
			if reads && form.Late || raceDetector && (i+j)%2 == 1 {
				continue // nothing comes of a late read
			}
			release := e.take(form)
			going.Go(func() {
				defer release()
				t.Run(fmt.Sprintf("%d of %d, %v", i+1, len(sent), form), func(t *testing.T) {
					c := e.run(t, scenario, i+1, form)
					for try := 1; try < 3 && !c.Met() && !t.Failed(); try++ {
						c = e.run(t, scenario, i+1, form) // a busy machine puts events together, and saves the call a request
					}
					switch {
					case c.Met():
						e.met.Add(int64(form.Run))
					case i == 0 || i+1 < len(sent) && !c.Racy:
						t.Error("the fault did not happen: the call has sent fewer requests than without one")
					default:
						t.Log("the fault did not happen") // the count may have had a request of the background's
					}
				})
			})
		}
	}
}

// take waits until another case may run.
func (e *each) take(form Form) (release func()) {
	slots := e.slots
	if form.slow() {
		slots = e.slow
	}
	slots <- struct{}{}
	return func() { <-slots }
}

func (e *each) run(t *testing.T, scenario func(*Case), n int, form Form) *Case {
	t.Helper()
	prefix := fmt.Sprintf("answers %d/", parts.Add(1))
	c := &Case{
		T: t, Form: form, n: n, faults: recipestest.NewFaults(t), tap: newTap(),
		Others: part(e.others, prefix),
	}
	cfg := clientv3.Config{
		Endpoints: []string{recipestest.Endpoint(t)}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{c.faults.DialOption(), grpc.WithChainUnaryInterceptor(c.tap.intercept)},
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	c.tap.Lease = client.Lease
	client.Lease = c.tap
	c.Client = part(client, prefix)
	scenario(c)
	return c
}

// part is a client of the keys below prefix, on the connection of another.
func part(c *clientv3.Client, prefix string) *clientv3.Client {
	p := clientv3.NewCtxClient(c.Ctx())
	p.KV = namespace.NewKV(c.KV, prefix)
	p.Lease = namespace.NewLease(c.Lease, prefix)
	p.Watcher = namespace.NewWatcher(c.Watcher, prefix)
	return p
}
