package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// leaser is what a lease needs of etcd: clientv3.Lease has more.
type leaser interface {
	Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error)
	KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error)
	Revoke(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error)
}

// A Keeper keeps one lease open and replaces it when it is lost.
type Keeper struct {
	client *clientv3.Client
	leaser func() (leaser, error)
	term   func(ctx context.Context) (uint64, error) // see readTerm
	clock  Clock
	cfg    Config

	// open ends when Close begins, with ErrClosed: whatever waits hangs on it. alive ends when Close is done:
	// requests and background tasks hang on it.
	open      context.Context
	closeOpen context.CancelCauseFunc
	alive     context.Context
	kill      context.CancelFunc

	tasks  tasks
	reread rereader
	polls  poller
	stream stream
	notes  notes

	mu      sync.Mutex
	lease   *Lease              // what new holds go on; nil before the first and after a loss
	leases  map[*Lease]struct{} // all that may still be alive in etcd, for Close
	opening *opening            // the grant that is on its way
	lost    bool                // a lease was lost: the next one is opened after a random pause
	busy    busy                // acquisitions and joined work
	chores  busy                // what goes on in the background for a lease

	with sync.Map // what recipes keep with the session

	closing sync.Once
	closed  chan struct{}
	result  error // of Close, once closed is closed
}

// New checks client and cfg. It sends nothing: the first lease is opened when it is needed.
func New(client *clientv3.Client, cfg Config) (*Keeper, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if client == nil {
		return nil, errors.New("the etcd client is nil")
	}
	k := newKeeper(cfg.Clock, cfg)
	k.client = client
	k.leaser = func() (leaser, error) { return client.Lease, k.usable() }
	k.term = k.readTerm
	return k, nil
}

func newKeeper(c Clock, cfg Config) *Keeper {
	k := &Keeper{clock: c, cfg: cfg, leases: make(map[*Lease]struct{}), closed: make(chan struct{})}
	base := retry.WithRand(context.Background(), cfg.Rand)
	k.open, k.closeOpen = context.WithCancelCause(base)
	k.alive, k.kill = context.WithCancel(base)
	k.reread.keeper, k.polls.keeper = k, k
	return k
}

// Root is the prefix of all keys.
func (k *Keeper) Root() string { return k.cfg.Root }

// Labels are what the session's user wants people to read about it.
func (k *Keeper) Labels() map[string]string { return k.cfg.Labels }

// Client is the session's client. What is asked of it directly takes the ctx of a Bound.
func (k *Keeper) Client() *clientv3.Client { return k.client }

// Logger hears of what has no caller.
func (k *Keeper) Logger() *slog.Logger { return k.cfg.Logger }

// With is what a recipe keeps with the session, under a key that is its own: made, at the first call.
func (k *Keeper) With(key, made any) any {
	v, _ := k.with.LoadOrStore(key, made)
	return v
}

// Granted is the TTL of the open lease as etcd granted it, or 0.
func (k *Keeper) Granted() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lease == nil || k.lease.ctx.Err() != nil || errors.Is(k.lease.Err(), ErrLost) {
		return 0
	}
	return k.lease.granted()
}

// Begin announces an acquisition, so that Close waits for it. The caller calls end when it is over.
func (k *Keeper) Begin() (end func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open.Err() != nil {
		return nil, ErrClosed
	}
	k.busy.enter()
	return sync.OnceFunc(k.leave), nil
}

func (k *Keeper) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy.leave()
}

// Go runs task in the background. Its ctx ends when lease has ended, for then there is nothing left to do for it, and
// at the latest when Close is done; Close waits for the task. It is false, and there is no task, when Close is past waiting.
func (k *Keeper) Go(lease *Lease, task func(ctx context.Context)) (started bool) {
	ctx, cancel := context.WithCancelCause(k.alive)
	stop := follow(lease.ctx, cancel)
	k.mu.Lock()
	k.chores.enter()
	k.mu.Unlock()
	done := func() {
		stop()
		cancel(nil)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.chores.leave()
	}
	if started = k.spawn(func() { defer done(); task(ctx) }); !started {
		done()
	}
	return started
}

// spawn starts a goroutine that Close waits for. It is false when Close is past waiting.
func (k *Keeper) spawn(task func()) bool { return k.tasks.start(task) }

// opening is a grant on its way, shared by all who wait for it.
type opening struct {
	done  chan struct{}
	lease *Lease
	err   error
}

// Lease is the open lease. If there is none it asks for one, once: whoever can wait tries again.
func (k *Keeper) Lease(ctx context.Context) (*Lease, error) {
	o, lease := k.current()
	if lease != nil {
		return lease, nil
	}
	select {
	case <-o.done:
		return o.lease, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("open a lease: %w", retry.Answer(ctx, ctx.Err()))
	}
}

// current is the open lease, or the grant to wait for.
func (k *Keeper) current() (*opening, *Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.lease; l != nil {
		err := l.Err()
		if err == nil {
			return nil, l
		}
		if errors.Is(err, ErrUncertain) {
			l.Check()
			return refusal(err), nil
		}
		k.lease, k.lost = nil, true // the watchdog ends it, if it hasn't
	}
	if k.open.Err() != nil {
		return refusal(ErrClosed), nil
	}
	if k.opening == nil {
		k.opening = &opening{done: make(chan struct{})}
		o, pause := k.opening, k.pause()
		k.spawn(func() { k.grant(o, pause) })
	}
	return k.opening, nil
}

// refusal is an opening that is over.
func refusal(err error) *opening {
	o := &opening{done: make(chan struct{}), err: err}
	close(o.done)
	return o
}

// longestPause is how long a session that has lost a lease waits before it asks for the next.
const longestPause = time.Second

// pause spreads the grants of many sessions that lost their leases at one time.
func (k *Keeper) pause() time.Duration {
	if !k.lost {
		return 0
	}
	return retry.Jitter(k.alive, longestPause)
}

// grant opens a lease for o.
func (k *Keeper) grant(o *opening, pause time.Duration) {
	defer close(o.done)
	if o.err = retry.Sleep(k.open, pause); o.err == nil {
		o.lease, o.err = k.ask()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opening = nil
	if o.err == nil {
		k.lease = o.lease
		k.leases[o.lease] = struct{}{}
		k.lost = false
		o.lease.start()
	}
}

// ask sends a grant. It hangs on alive, not on open: a lease whose answer nobody waits for could not be revoked.
func (k *Keeper) ask() (*Lease, error) {
	leases, err := k.leaser()
	if err != nil {
		return nil, err
	}
	ctx, cancel := k.request(k.alive)
	defer cancel()
	sent := now(k.clock)
	resp, err := leases.Grant(ctx, int64(k.cfg.TTL/time.Second))
	if err != nil {
		return nil, fmt.Errorf("open a lease: %w", retry.Answer(ctx, err))
	}
	return newLease(k, resp.ID, time.Duration(resp.TTL)*time.Second, sent), nil
}
