package answers

import (
	"context"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// A Case is one call, of which one request or a few in a row get no answer.
type Case struct {
	*testing.T
	// Client is whose answers are lost.
	Client *clientv3.Client
	// Others is for those who share the keys with it. They lose nothing.
	Others *clientv3.Client
	// Form is how the answers are lost. Its Run is 0 in the run that only counts the requests.
	Form Form
	// Racy says that the call does not send the same requests each time, so that a fault may not happen.
	Racy bool

	n      int // the request
	faults *recipestest.Faults
	tap    *tap
	before int
	sent   []bool // requests of the call, once that has returned: which don't change anything
	lost   []*recipestest.Lost
	late   []*recipestest.Late
}

// Call makes the call that the case is about. ctx has no deadline; if the case is hurried it ends with the fault.
func (c *Case) Call(call func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context()))
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	c.before = c.faults.Sent()
	met := c.arm()
	if c.Form.Hurried {
		watching.Go(func() {
			select {
			case <-met:
				cancel()
			case <-ctx.Done():
			}
		})
	}
	call(ctx)
	c.sent = c.tap.since(c.before)
}

// Requests is how many the client has sent since the call began.
func (c *Case) Requests() int { return c.faults.Sent() - c.before }

// arm sets the faults. What it returns is closed when the last of them has happened.
func (c *Case) arm() (met <-chan struct{}) {
	for range c.Form.Run {
		if c.Form.Late {
			l := c.faults.LateRequest(c.n, c.Form.Symptom)
			c.late, met = append(c.late, l), l.Held()
		} else {
			l := c.faults.DropAnswer(c.n, c.Form.Symptom)
			c.lost, met = append(c.lost, l), l.Answered()
		}
	}
	return met
}

// Met reports whether the first of the faults has happened.
func (c *Case) Met() bool {
	var met <-chan struct{}
	switch {
	case len(c.late) > 0:
		met = c.late[0].Held()
	case len(c.lost) > 0:
		met = c.lost[0].Answered()
	}
	select {
	case <-met:
		return true
	default:
		return false
	}
}

// Calm says that the call, and what it left to the background, is over: nothing more is lost.
func (c *Case) Calm() { c.faults.Calm() }

// Reach says that m has come: what was held back until then arrives.
func (c *Case) Reach(m Moment) {
	if c.Form.Moment == m {
		c.letThrough()
	}
}

func (c *Case) letThrough() {
	for _, l := range c.late {
		_ = l.LetThrough() // etcd may refuse it, or it never came
	}
}

// Eventually waits until something is so.
func (c *Case) Eventually(what string, so func() bool) {
	c.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-limit.C:
			c.Fatalf("it never came about: %s", what)
		}
	}
}

// Keys are those that exist.
func (c *Case) Keys() (keys []string) {
	c.Helper()
	resp, err := c.Others.Get(context.Background(), "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		c.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// NoKeys fails if a key exists.
func (c *Case) NoKeys() {
	c.Helper()
	if keys := c.Keys(); len(keys) > 0 {
		c.Errorf("left behind: %q", keys)
	}
}

// NothingLeft fails if a key exists, or a lease that the client was granted, once all its sessions were closed. Only a lease of which the
// client never heard, since the answer to its grant was lost, stays until its TTL is over, and has no keys.
func (c *Case) NothingLeft() {
	c.Helper()
	c.letThrough()
	c.NoKeys()
	for id, heard := range c.tap.allLeases() {
		resp, err := c.Others.TimeToLive(context.Background(), id, clientv3.WithAttachedKeys())
		switch {
		case err != nil:
			c.Errorf("lease %x: %v", id, err)
		case resp.TTL < 0 && !heard:
			c.Errorf("lease %x, of which nobody has heard, is gone: the test does not see what it is to see", id)
		case resp.TTL >= 0 && heard:
			c.Errorf("lease %x is left", id)
		case len(resp.Keys) > 0:
			c.Errorf("lease %x is left with %q", id, resp.Keys)
		}
	}
}
