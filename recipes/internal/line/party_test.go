package line

import (
	"context"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/recipestest"
)

// party is one session that takes part in the line of a test.
type party struct {
	*testing.T
	client *clientv3.Client
	faults *faultyKV
	keeper *keep.Keeper
	lease  *keep.Lease
	line   *Line
}

const prefix = "/l/"

// newParty opens a session in the part of etcd that belongs to the test.
func newParty(t *testing.T) *party {
	t.Helper()
	c := recipestest.Namespace(t, t.Name())
	faults := &faultyKV{KV: c.KV}
	c.KV = faults
	k, err := keep.New(c, keep.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close(context.Background()) })
	lease, err := k.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &party{t, c, faults, k, lease, New(k, prefix)}
}

func (p *party) bound() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(p.Context(), 10*time.Second)
	b, stop := p.keeper.Bound(ctx, p.lease)
	return b, func() { stop(); cancel() }
}

func (p *party) join() *Entry {
	p.Helper()
	ctx, cancel := p.bound()
	defer cancel()
	e, err := p.line.Join(ctx, p.lease, Details{})
	if err != nil {
		p.Fatal(err)
	}
	return e
}

// waiting starts to wait, and returns when both watches are open and the look is done.
func (p *party) waiting(e *Entry) <-chan error {
	p.Helper()
	done := make(chan error, 1)
	looked := p.faults.passed()
	go func() {
		ctx, cancel := p.bound()
		defer cancel()
		done <- e.Wait(ctx)
	}()
	select {
	case <-looked:
	case <-time.After(10 * time.Second):
		p.Fatal("the waiter never looked")
	}
	return done
}

func (p *party) head(e *Entry) {
	p.Helper()
	p.heads(p.waitNow(e))
}

func (p *party) waitNow(e *Entry) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := p.bound()
		defer cancel()
		done <- e.Wait(ctx)
	}()
	return done
}

func (p *party) heads(done <-chan error) {
	p.Helper()
	select {
	case err := <-done:
		if err != nil {
			p.Fatalf("Wait = %v, want the head", err)
		}
	case <-time.After(10 * time.Second):
		p.Fatal("stuck: it is at the head and doesn't know")
	}
}

func (p *party) stillWaits(done <-chan error) {
	p.Helper()
	select {
	case err := <-done:
		p.Fatalf("Wait returned %v although somebody is in front", err)
	default:
	}
}

func (p *party) pass(e *Entry) {
	p.Helper()
	if err := e.Pass(p.Context()); err != nil {
		p.Fatalf("Pass = %v", err)
	}
}

func (p *party) giveUp(e *Entry) {
	p.Helper()
	if err := e.GiveUp(p.Context()); err != nil {
		p.Fatalf("GiveUp = %v", err)
	}
}

// crash ends the session's lease, as its death does.
func (p *party) crash() {
	p.Helper()
	if _, err := p.client.Revoke(context.Background(), p.lease.ID()); err != nil {
		p.Fatal(err)
	}
}

// keys are the names below the line's prefix.
func (p *party) keys() []string {
	p.Helper()
	resp, err := p.client.Get(context.Background(), prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		p.Fatal(err)
	}
	names := []string{}
	for _, kv := range resp.Kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), prefix))
	}
	return names
}

// empty waits for what the background still deletes, then wants no key left.
func (p *party) empty() {
	p.Helper()
	p.eventuallyKeys(func(names []string) bool { return len(names) == 0 })
}

func (p *party) eventuallyKeys(so func(names []string) bool) {
	p.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(p.keys()); {
		if time.Now().After(deadline) {
			p.Fatalf("left behind: %q", p.keys())
		}
	}
}

func (p *party) state(e *Entry) mark {
	p.Helper()
	kv, err := p.keeper.GetOne(p.Context(), e.key())
	if err != nil {
		p.Fatal(err)
	}
	switch {
	case kv == nil:
		return mark{State: "absent"}
	case live(kv):
		return mark{State: "live"}
	}
	return readMark(kv)
}
