package rwlock_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// numbered waits until a reader's place has the number: the lowest that its session has free.
func numbered(t *testing.T, s *session.Session, number string) {
	t.Helper()
	eventually(t, func() (string, bool) {
		r, err := rwlock.TryAcquireRead(t.Context(), s, "x")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release(t.Context())
		key := r.Claims()[0].Key
		return "its place is " + key + ", want number " + number, strings.HasSuffix(key, "-"+number)
	})
}

// cutKV loses the answers to all Txns while it is cut: they are done, and nobody hears of it.
type cutKV struct {
	clientv3.KV
	cut  atomic.Bool
	sent chan struct{} // gets one for each
}

func (kv *cutKV) Txn(ctx context.Context) clientv3.Txn { return &cutTxn{kv.KV.Txn(ctx), ctx, kv} }

type cutTxn struct {
	clientv3.Txn
	ctx context.Context
	kv  *cutKV
}

func (t *cutTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t *cutTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(ops...); return t }
func (t *cutTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *cutTxn) Commit() (*clientv3.TxnResponse, error) {
	if !t.kv.cut.Load() {
		return t.Txn.Commit()
	}
	_, err := t.Txn.Commit()
	if err != nil {
		return nil, err
	}
	t.kv.sent <- struct{}{}
	<-t.ctx.Done()
	return nil, context.Cause(t.ctx)
}

// TestANumberIsFreeWhenItsPlaceIs, and not before: a reader that gave up may have its place until the background knows better, and another must
// not take that for somebody else's.
func TestANumberIsFreeWhenItsPlaceIs(t *testing.T) {
	c := recipestest.Client(t)
	kv := &cutKV{KV: c.KV, sent: make(chan struct{}, 100)}
	c.KV = kv
	s := open(t, c)
	kv.cut.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { _, err := rwlock.AcquireRead(ctx, s, "x"); failed <- err }()
	<-kv.sent // the first request has got it its place
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("AcquireRead = %v, want context.Canceled", err)
	}
	<-kv.sent // the background asks, and hears nothing for 5 s
	kv.cut.Store(false)
	r, err := rwlock.TryAcquireRead(t.Context(), s, "x")
	if err != nil {
		t.Fatalf("TryAcquireRead beside nobody but a reader = %v", err)
	}
	if key := r.Claims()[0].Key; !strings.HasSuffix(key, "-1") {
		t.Errorf("its place is %q, want number 1: nobody knows yet whether 0 is free", key)
	}
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
	left(t, c) // when the background has heard
	numbered(t, s, "0")
}

// jumpyClock is one whose time of day can be put ahead, as after a pause of a virtual machine.
type jumpyClock struct {
	began time.Time
	ahead atomic.Int64
}

func (c *jumpyClock) Boot() time.Duration { return time.Since(c.began) }
func (c *jumpyClock) Wall() time.Time {
	return time.Now().Round(0).Add(time.Duration(c.ahead.Load()))
}

// deafLease hears no answers to renewals while it is deaf.
type deafLease struct {
	clientv3.Lease
	deaf atomic.Bool
}

func (l *deafLease) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	if l.deaf.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l.Lease.KeepAliveOnce(ctx, id)
}

// afterTxn calls do when a Txn was answered.
type afterTxn struct {
	clientv3.KV
	do atomic.Pointer[func()]
}

func (kv *afterTxn) Txn(ctx context.Context) clientv3.Txn { return &afterTxnTxn{kv.KV.Txn(ctx), kv} }

type afterTxnTxn struct {
	clientv3.Txn
	kv *afterTxn
}

func (t *afterTxnTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t *afterTxnTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(ops...); return t }
func (t *afterTxnTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *afterTxnTxn) Commit() (*clientv3.TxnResponse, error) {
	resp, err := t.Txn.Commit()
	if do := t.kv.do.Swap(nil); do != nil {
		(*do)()
	}
	return resp, err
}

// TestANumberIsFreeWhenNothingWasHeldAfterAll: the place was given, and then nobody could say whether the lease may be trusted.
func TestANumberIsFreeWhenNothingWasHeldAfterAll(t *testing.T) {
	for name, get := range map[string]func(ctx context.Context, s *session.Session, doubt func()) error{
		"AcquireRead": func(ctx context.Context, s *session.Session, doubt func()) error {
			doubt()
			_, err := rwlock.AcquireRead(ctx, s, "x")
			return err
		},
		"Downgrade": func(ctx context.Context, s *session.Session, doubt func()) error {
			w, err := rwlock.AcquireWrite(context.Background(), s, "x")
			if err != nil {
				return nil
			}
			doubt()
			_, err = w.Downgrade(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := recipestest.Client(t)
			lease, kv := &deafLease{Lease: c.Lease}, &afterTxn{KV: c.KV}
			c.Lease, c.KV = lease, kv
			clock := &jumpyClock{began: time.Now()}
			s, err := session.Open(t.Context(), c, func(cfg *keep.Config) { cfg.Clock = clock })
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close(context.Background())
			ctx, cancel := context.WithCancel(t.Context())
			doubt := func() { // from when its place was given
				jump := func() {
					lease.deaf.Store(true)
					clock.ahead.Store(int64(10 * time.Second))
					cancel()
				}
				kv.do.Store(&jump)
			}
			if err := get(ctx, s, doubt); !errors.Is(err, context.Canceled) {
				t.Fatalf("it = %v, want context.Canceled", err)
			}
			lease.deaf.Store(false)
			left(t, c)
			numbered(t, s, "0")
		})
	}
}
