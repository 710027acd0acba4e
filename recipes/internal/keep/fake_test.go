package keep

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// bubbleClock is the bubble's time, with a machine that can be suspended and a virtual machine that can be paused.
type bubbleClock struct {
	mu        sync.Mutex
	start     time.Time
	suspended time.Duration // timers don't see it, the boot clock does
	paused    time.Duration // only the wall clock sees it
}

func (c *bubbleClock) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.suspended
}

func (c *bubbleClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.suspended + c.paused)
}

func (c *bubbleClock) suspend(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspended += d
}

func (c *bubbleClock) pause(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused += d
}

// call is one request to the fake.
type call struct {
	what string
	at   time.Duration
	id   clientv3.LeaseID
}

// fakeLeases answers as the test says. A nil answer is a good one at once.
type fakeLeases struct {
	clock *bubbleClock

	mu      sync.Mutex
	answers map[string]func(ctx context.Context) error // to grant, renew, revoke
	calls   []call
	last    clientv3.LeaseID
	ttl     int64
	asks    int64 // the TTL that was asked for last
	term    uint64
}

// on sets how one kind of request is answered from now on.
func (f *fakeLeases) on(what string, answer func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answers == nil {
		f.answers = make(map[string]func(context.Context) error)
	}
	f.answers[what] = answer
}

func (f *fakeLeases) asked(ctx context.Context, what string, id clientv3.LeaseID) error {
	f.mu.Lock()
	f.calls = append(f.calls, call{what, time.Since(f.clock.start), id})
	answer := f.answers[what]
	f.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(ctx)
}

func (f *fakeLeases) at(what string) (at []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c.what == what {
			at = append(at, c.at)
		}
	}
	return at
}

func (f *fakeLeases) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	f.mu.Lock()
	f.last++
	id := f.last
	if f.asks = ttl; f.ttl == 0 {
		f.ttl = ttl
	}
	f.mu.Unlock()
	if err := f.asked(ctx, "grant", id); err != nil {
		return nil, err
	}
	return &clientv3.LeaseGrantResponse{ID: id, TTL: f.ttl}, nil
}

func (f *fakeLeases) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	if err := f.asked(ctx, "renew", id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &clientv3.LeaseKeepAliveResponse{ResponseHeader: &pb.ResponseHeader{RaftTerm: f.term}, ID: id, TTL: f.ttl}, nil
}

// elect has another leader from now on.
func (f *fakeLeases) elect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.term++
}

// readTerm stands for Keeper.readTerm.
func (f *fakeLeases) readTerm(ctx context.Context) (uint64, error) {
	if err := f.asked(ctx, "read", 0); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.term, nil
}

func (f *fakeLeases) Revoke(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error) {
	return &clientv3.LeaseRevokeResponse{}, f.asked(ctx, "revoke", id)
}

// never is an etcd that is away: it answers nothing.
func never(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// after answers late.
func after(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func notFound(context.Context) error { return rpctypes.ErrLeaseNotFound }

// bench is a Keeper with a TTL of 15 s and a margin of 1.25 s, over a fake etcd.
type bench struct {
	*testing.T
	*Keeper
	etcd  *fakeLeases
	clock *bubbleClock
}

const (
	ttl    = 15 * time.Second
	margin = 1250 * time.Millisecond // 1 % of 15 s and 1.1 s
)

// bubble runs test in a bubble of time, and closes the Keeper at its end.
func bubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clock := &bubbleClock{start: time.Now()}
		etcd := &fakeLeases{clock: clock}
		cfg := Defaults()
		if err := cfg.check(); err != nil {
			t.Fatal(err)
		}
		k := newKeeper(clock, cfg)
		k.leaser = func() (leaser, error) { return etcd, nil }
		k.term = etcd.readTerm
		test(&bench{t, k, etcd, clock})
		if err := k.Close(over()); err != nil && etcd.answers["revoke"] == nil && etcd.answers["grant"] == nil {
			t.Errorf("close: %v", err)
		}
	})
}

func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func (b *bench) open() *Lease {
	b.Helper()
	l, err := b.Lease(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// hold is a hold without a key in etcd; give gives it back.
func (b *bench) hold(l *Lease, give func(context.Context) error) *Hold {
	b.Helper()
	if give == nil {
		give = func(context.Context) error { return nil }
	}
	h, err := l.Hold(context.Background(), context.Background(), Spec{What: "it", Give: give})
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// endsAt waits for the end of the hold's context and compares when that was.
func (b *bench) endsAt(h *Hold, want time.Duration) {
	b.Helper()
	<-h.Context().Done()
	if at := time.Since(b.clock.start); at != want {
		b.Errorf("the hold ended at %v (%v), want %v", at, context.Cause(h.Context()), want)
	}
}
