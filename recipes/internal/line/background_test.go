package line

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// free waits until nobody but n others stands in line.
func (p *party) free(n int) {
	p.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		s, err := Read(p.Context(), p.client.KV, prefix)
		if err != nil {
			p.Fatal(err)
		}
		if len(s) == n {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("a ghost stands in line: %+v", s)
		}
	}
}

// TestALostJoinIsCleanedUpInTheBackground: ctx ends while nobody knows whether the join was applied.
func TestALostJoinIsCleanedUpInTheBackground(t *testing.T) {
	a := newParty(t)
	first := a.join()
	ctx, cancel := context.WithCancel(t.Context())
	bound, stop := a.keeper.Bound(ctx, a.lease)
	defer stop()
	a.faults.then(loseAnswer, loseTxn)
	failed := a.faults.passed()
	go func() { <-failed; cancel() }()
	if _, err := a.line.Join(bound, a.lease, Details{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Join = %v, want context.Canceled", err)
	}
	a.free(1)
	next := a.join()
	a.pass(first)
	a.head(next)
	a.pass(next)
	a.empty()
}

// TestAWaiterWhoseLeaseEndsIsTold: not "removed", so that it can stand in line again with another.
func TestAWaiterWhoseLeaseEndsIsTold(t *testing.T) {
	a, b := newParty(t), newParty(t)
	a.join()
	e := b.join()
	waits := b.waiting(e)
	b.crash()
	if err := <-waits; !errors.Is(err, keep.ErrLost) {
		t.Errorf("Wait = %v, want ErrLost", err)
	}
}

// TestALostJoinLeavesTheLineAsItWas: whoever is in front passes on to nobody, and leaves nothing for nobody.
func TestALostJoinLeavesTheLineAsItWas(t *testing.T) {
	a := newParty(t)
	first := a.join()
	ctx, cancel := context.WithCancel(t.Context())
	bound, stop := a.keeper.Bound(ctx, a.lease)
	defer stop()
	a.faults.then(loseAnswer, loseTxn)
	failed := a.faults.passed()
	go func() { <-failed; cancel() }()
	if _, err := a.line.Join(bound, a.lease, Details{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Join = %v, want context.Canceled", err)
	}
	a.free(1)
	a.pass(first)
	if left := a.keys(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestAJoinCutOffByCloseIsCleanedUp: that the session is closed says nothing about whether the join was applied.
func TestAJoinCutOffByCloseIsCleanedUp(t *testing.T) {
	a, b := newParty(t), newParty(t)
	first := b.join()
	ctx, cancel := a.bound()
	defer cancel()
	end, err := a.keeper.Begin()
	if err != nil {
		t.Fatal(err)
	}
	a.faults.then(silent)
	sent := a.faults.passed()
	joined := make(chan error, 1)
	go func() {
		defer end()
		_, err := a.line.Join(ctx, a.lease, Details{})
		joined <- err
	}()
	<-sent // it is applied, and its answer does not come
	if err := a.keeper.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-joined; !errors.Is(err, keep.ErrClosed) {
		t.Errorf("Join = %v, want ErrClosed", err)
	}
	b.pass(first)
	if left := b.keys(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestCleaningUpOutlastsRefusals: what etcd refuses today it may take tomorrow, and nobody else cleans up.
func TestCleaningUpOutlastsRefusals(t *testing.T) {
	t.Run("a join whose answer was lost, and then no space", func(t *testing.T) {
		a := newParty(t)
		ctx, cancel := a.bound()
		defer cancel()
		a.faults.then(loseAnswer, full, full, full, full)
		e, err := a.line.Join(ctx, a.lease, Details{})
		if err != nil {
			t.Fatalf("Join = %v: the entry is there, and can be found without a Put", err)
		}
		a.faults.then()
		a.pass(e)
		a.free(0)
	})
	t.Run("a lost join, never applied, and then no space", func(t *testing.T) {
		a := newParty(t)
		ctx, cancel := a.bound()
		defer cancel()
		a.faults.then(late, full, full, full)
		if _, err := a.line.Join(ctx, a.lease, Details{}); err == nil {
			t.Fatal("Join succeeded without space")
		}
		a.faults.then()
		for deadline := time.Now().Add(10 * time.Second); len(a.keys()) == 0; { // the void key
			if time.Now().After(deadline) {
				t.Fatal("the id was never made void")
			}
		}
		a.faults.letThrough()
		a.free(0)
	})
	t.Run("giving up", func(t *testing.T) {
		a := newParty(t)
		first, e := a.join(), a.join()
		a.faults.then(denied, denied, denied)
		e.Abandon()
		a.free(1)
		a.pass(first)
	})
}

// silentLease answers no renewals when told so.
type silentLease struct {
	clientv3.Lease
	silent atomic.Bool
	asked  chan struct{} // gets one when it doesn't answer
}

func (s *silentLease) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	if s.silent.Load() {
		select {
		case s.asked <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Lease.KeepAliveOnce(ctx, id)
}

// TestAVanishedEntryIsNotCalledRemovedUnseen: the entry is gone, and etcd doesn't say whether the lease is.
func TestAVanishedEntryIsNotCalledRemovedUnseen(t *testing.T) {
	a := newParty(t)
	lease := &silentLease{Lease: a.client.Lease, asked: make(chan struct{}, 1)}
	a.client.Lease = lease
	a.join()
	e := a.join()
	ctx, cancel := context.WithCancel(t.Context())
	bound, stop := a.keeper.Bound(ctx, a.lease)
	defer stop()
	lease.silent.Store(true)
	looked := a.faults.passed()
	done := make(chan error, 1)
	go func() { done <- e.Wait(bound) }()
	<-looked
	if _, err := a.client.Delete(t.Context(), e.key()); err != nil {
		t.Fatal(err)
	}
	a.stillWaits(done)
	cancel()
	start := time.Now()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want the end of its ctx", err)
	}
	if took := time.Since(start); took > 10*250*time.Millisecond {
		t.Errorf("it went on for %v after its ctx had ended", took)
	}
	lease.silent.Store(false)
}

// TestATryThatLosesItsLeaseSaysSo, so that it is made again with the next: somebody else of the session finds the loss first.
func TestATryThatLosesItsLeaseSaysSo(t *testing.T) {
	a, b := newParty(t), newParty(t)
	lease := &silentLease{Lease: a.client.Lease, asked: make(chan struct{}, 1)}
	a.client.Lease = lease
	first, e := b.join(), a.join()
	b.pass(first)
	e.pred = "" // the answer to its join was lost
	ctx, cancel := a.bound()
	defer cancel()
	lease.silent.Store(true)
	a.crash()
	done := make(chan error, 1)
	go func() { _, err := e.headOrGiveUp(ctx); done <- err }()
	<-lease.asked
	_ = a.lease.Refused(rpctypes.ErrLeaseNotFound)
	if err := <-done; !errors.Is(err, keep.ErrLost) {
		t.Errorf("headOrGiveUp = %v, want ErrLost", err)
	}
	lease.silent.Store(false)
}

// TestNoWatchIsLeftWhenTheHoldFails: the lease was lost just when the head was reached.
func TestNoWatchIsLeftWhenTheHoldFails(t *testing.T) {
	a := newParty(t)
	open := &openWatches{Watcher: a.client.Watcher}
	a.client.Watcher = open
	first, e := a.join(), a.join()
	done := a.waiting(e)
	a.pass(first)
	a.heads(done)
	a.crash()
	if err := a.lease.Verify(t.Context()); !errors.Is(err, keep.ErrLost) {
		t.Fatalf("Verify = %v, want ErrLost", err)
	}
	spec := keep.Spec{What: "it", Keys: []keep.Key{e.Key()}, Watches: e.TakeWatch(), Give: e.Pass}
	if _, err := a.lease.Hold(t.Context(), t.Context(), spec); !errors.Is(err, keep.ErrLost) {
		t.Fatalf("Hold = %v, want ErrLost", err)
	}
	for deadline := time.Now().Add(10 * time.Second); open.n.Load() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d watches are left", open.n.Load())
		}
	}
}

type openWatches struct {
	clientv3.Watcher
	n atomic.Int32
}

func (o *openWatches) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	o.n.Add(1)
	context.AfterFunc(ctx, func() { o.n.Add(-1) })
	return o.Watcher.Watch(ctx, key, opts...)
}
