package recipestest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
)

// zombieTimeout is how long a zombie takes to stop, and how long it may live on.
const zombieTimeout = time.Minute

// Pause is where a process stops in its critical section. It takes the context of the hold, and returns when somebody else has had the
// hold. What comes after it uses the context that it returns: that of a process which has just been resumed, believes in its hold, and
// sends its token.
type Pause func(ctx context.Context) context.Context

// Zombie shows whether a resource refuses a holder that has been replaced. It runs work, until that calls pause; ends the leases of
// what work holds, as etcd does when a process has been stopped for too long; runs next, which gets hold of the same things and
// uses the resource; and then lets work go on. The test fails unless next returns nil and the error of work Is fencing.ErrStale.
//
//	recipestest.Zombie(t, client, func(pause recipestest.Pause) error {
//		return lock.Do(ctx, mine, "account/7", func(ctx context.Context) error {
//			ctx = pause(ctx)
//			return withdraw(ctx, db, 60)
//		})
//	}, func() error {
//		return lock.Do(ctx, theirs, "account/7", func(ctx context.Context) error {
//			return withdraw(ctx, db, 70)
//		})
//	})
//
// The two have sessions of their own, as two processes do, and client sees the keys of both. Work must not end by itself before
// it pauses, nor pause twice. A process that is not stopped notices its loss and sends nothing (the guard refuses with
// fencing.ErrEnded); that would show nothing about the resource, and is why pause returns a context.
func Zombie(tb testing.TB, client *clientv3.Client, work func(pause Pause) error, next func() error) {
	tb.Helper()
	z := &zombie{stopped: make(chan []fencing.Claim, 1), resumed: make(chan struct{}), done: make(chan error, 1)}
	var end context.CancelFunc
	z.ctx, end = context.WithTimeout(context.Background(), zombieTimeout)
	defer end()
	go func() { z.done <- work(z.pause) }()

	claims := z.await(tb)
	if late, replaced := z.replace(tb, client, claims, next); replaced {
		judge(tb, late)
	}
}

type zombie struct {
	ctx     context.Context // ends with its life
	once    sync.Once
	stopped chan []fencing.Claim // what it holds
	resumed chan struct{}        // closed when it goes on
	done    chan error           // how it ended
}

// pause is called by the work.
func (z *zombie) pause(ctx context.Context) context.Context {
	claims := fencing.Claims(ctx)
	z.once.Do(func() { z.stopped <- claims })
	<-z.resumed
	believing, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(z.ctx, end)
	for i := range claims {
		claims[i] = claims[i].Bind(nil)
	}
	return fencing.NewContext(believing, claims...)
}

// await waits until it has stopped.
func (z *zombie) await(tb testing.TB) []fencing.Claim {
	tb.Helper()
	select {
	case claims := <-z.stopped:
		return claims
	case err := <-z.done:
		tb.Fatalf("recipestest: the zombie ended without a pause: %v", err)
	case <-z.ctx.Done():
		tb.Fatalf("recipestest: the zombie did not pause within %v", zombieTimeout)
	}
	return nil
}

// replace lets the next one in and then the zombie go on. It returns how that ended, if the next one was there before.
func (z *zombie) replace(tb testing.TB, client *clientv3.Client, claims []fencing.Claim, next func() error) (late error, replaced bool) {
	tb.Helper()
	defer func() { // also when next ends the test
		close(z.resumed)
		select {
		case late = <-z.done:
		case <-z.ctx.Done():
			replaced = false
			tb.Errorf("recipestest: the zombie did not end within %v", zombieTimeout)
		}
	}()
	endLeases(tb, client, claims)
	if err := next(); err != nil {
		tb.Errorf("recipestest: the holder after the zombie: %v", err)
		return nil, false
	}
	return nil, true
}

// endLeases ends those that the claims depend on. Several may be on one.
func endLeases(tb testing.TB, client *clientv3.Client, claims []fencing.Claim) {
	tb.Helper()
	if len(claims) == 0 {
		tb.Fatalf("recipestest: the zombie holds nothing: pause takes the context of the hold")
	}
	for i, c := range claims {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		resp, err := client.Get(ctx, c.Key)
		cancel()
		if err != nil {
			tb.Fatalf("recipestest: get %q: %v", c.Key, err)
		}
		if i == 0 || len(resp.Kvs) > 0 {
			RevokeLeaseOf(tb, client, c.Key)
		}
	}
}

// judge looks at how the zombie ended.
func judge(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case errors.Is(err, fencing.ErrStale):
	case errors.Is(err, fencing.ErrEnded) || errors.Is(err, context.Canceled):
		tb.Errorf("recipestest: the resource was not asked: use the context that pause returns: %v", err)
	default: // a lock that was lost is told also if the work returned nil
		tb.Errorf("recipestest: the resource did not refuse the zombie, want an error that Is fencing.ErrStale: %v", err)
	}
}
