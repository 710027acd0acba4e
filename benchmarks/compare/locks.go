package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// The systems that are compared. Ratios are of the first to the second.
const (
	stile = "stile"
	etcd  = "etcd"
)

var systemNames = []string{stile, etcd}

// exclusive is something that one has at a time, as one system has it: a lock, or the leadership of an election.
type exclusive struct {
	// open lets n participants in on one client.
	open func(ctx context.Context, c *clientv3.Client, name string, n int) (*parties, error)
	// standing counts who has it or waits for it, by what stands in etcd.
	standing func(ctx context.Context, c *clientv3.Client, name string) (int, error)
	// real is how many can be had to wait for it within the time of a benchmark; 0 for any number. Behind them, pad puts n keys for
	// which nobody waits, until remove.
	real int
	pad  func(ctx context.Context, c *clientv3.Client, name string, n int) (remove func(context.Context) error, err error)
}

// parties are the participants on one client.
type parties struct {
	acquire []acquire
	close   func(ctx context.Context) error
}

// acquire waits until the participant has it. One participant is in one acquisition at a time.
type acquire func(ctx context.Context) (release func(context.Context) error, err error)

// locks are the locks of all systems.
func locks() map[string]exclusive {
	return map[string]exclusive{
		stile: {open: openStile, standing: standingStile},
		etcd:  {open: openEtcd, standing: standingEtcd, real: 1000, pad: padEtcd},
	}
}

// openStile has one session for all: it serves a whole process, and each acquisition is a thing of its own.
func openStile(ctx context.Context, c *clientv3.Client, name string, n int) (*parties, error) {
	s, err := session.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &parties{close: s.Close}
	for range n {
		p.acquire = append(p.acquire, func(ctx context.Context) (func(context.Context) error, error) {
			held, err := lock.Acquire(ctx, s, name)
			if err != nil {
				return nil, err
			}
			return held.Release, nil
		})
	}
	return p, nil
}

func standingStile(ctx context.Context, c *clientv3.Client, name string) (int, error) {
	state, err := lock.Inspect(ctx, c, name)
	if err != nil || state.Holder == nil {
		return 0, err
	}
	return 1 + len(state.Waiters), nil
}

// openEtcd has a session for each: etcd's Mutex names its key after the session's lease.
func openEtcd(ctx context.Context, c *clientv3.Client, name string, n int) (*parties, error) {
	sessions := make([]*concurrency.Session, n)
	p := &parties{acquire: make([]acquire, n)}
	p.close = func(context.Context) error { // a session's Close is bounded by its TTL
		return each(n, func(i int) error {
			if sessions[i] == nil {
				return nil
			}
			return sessions[i].Close()
		})
	}
	err := each(n, func(i int) (err error) {
		if sessions[i], err = concurrency.NewSession(c); err != nil {
			return err
		}
		m := concurrency.NewMutex(sessions[i], name)
		p.acquire[i] = func(ctx context.Context) (func(context.Context) error, error) {
			if err := m.Lock(ctx); err != nil {
				return nil, err
			}
			return m.Unlock, nil
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, p.close(ctx))
	}
	return p, nil
}

func standingEtcd(ctx context.Context, c *clientv3.Client, name string) (int, error) {
	resp, err := c.Get(ctx, name+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return int(resp.Count), nil
}

// padTTL is longer than any measurement, so that the keys need no renewal.
const padTTL = 600

// padEtcd puts keys like those of waiters behind them: what reads the line reads them too.
func padEtcd(ctx context.Context, c *clientv3.Client, name string, n int) (remove func(context.Context) error, err error) {
	lease, err := c.Grant(ctx, padTTL)
	if err != nil {
		return nil, err
	}
	remove = func(ctx context.Context) error {
		_, err := c.Revoke(ctx, lease.ID)
		return err
	}
	const perTxn = 100
	for i := 0; i < n; i += perTxn {
		var puts []clientv3.Op
		for j := i; j < min(i+perTxn, n); j++ {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("%s/%x", name, int64(lease.ID)+int64(j)), "", clientv3.WithLease(lease.ID)))
		}
		if _, err := c.Txn(ctx).Then(puts...).Commit(); err != nil {
			return nil, errors.Join(err, remove(ctx))
		}
	}
	return remove, nil
}

// each calls f for 0 to n-1, a few at a time.
func each(n int, f func(i int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
