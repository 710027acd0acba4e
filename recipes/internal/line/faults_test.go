package line

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// fault is what happens to a Txn.
type fault int

const (
	noFault    fault = iota
	loseAnswer       // it is applied, and nobody hears
	loseTxn          // it never arrives
	late             // nobody hears, and it is applied when letThrough is called
)

var errAway = status.Error(codes.Unavailable, "etcd is away")

// faultyKV lets things happen to Txns.
type faultyKV struct {
	clientv3.KV
	mu    sync.Mutex
	next  []fault
	held  []func()
	looks []chan struct{}
}

// then sets what happens to the next Txns.
func (f *faultyKV) then(faults ...fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = faults
}

// passed is closed when the next Txn has been answered.
func (f *faultyKV) passed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := make(chan struct{})
	f.looks = append(f.looks, c)
	return c
}

func (f *faultyKV) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.looks {
		close(c)
	}
	f.looks = nil
}

// letThrough has the late ones applied.
func (f *faultyKV) letThrough() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, apply := range f.held {
		apply()
	}
	f.held = nil
}

func (f *faultyKV) fate() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.next) == 0 {
		return noFault
	}
	first := f.next[0]
	f.next = f.next[1:]
	return first
}

func (f *faultyKV) Txn(ctx context.Context) clientv3.Txn {
	return &faultyTxn{kv: f, ctx: ctx, Txn: f.KV.Txn(ctx)}
}

type faultyTxn struct {
	clientv3.Txn
	kv  *faultyKV
	ctx context.Context
	cs  []clientv3.Cmp
	th  []clientv3.Op
	el  []clientv3.Op
}

func (t *faultyTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.cs = cs; return t }
func (t *faultyTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.th = ops; return t }
func (t *faultyTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.el = ops; return t }

func (t *faultyTxn) Commit() (*clientv3.TxnResponse, error) {
	defer t.kv.answered()
	send := func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return t.kv.KV.Txn(ctx).If(t.cs...).Then(t.th...).Else(t.el...).Commit()
	}
	switch t.kv.fate() {
	case loseAnswer:
		_, _ = send(t.ctx)
		return nil, errAway
	case loseTxn:
		return nil, errAway
	case late:
		t.kv.mu.Lock()
		defer t.kv.mu.Unlock()
		t.kv.held = append(t.kv.held, func() { _, _ = send(context.Background()) })
		return nil, errAway
	}
	return send(t.ctx)
}

// TestLostAnswers: whatever happens to the n-th Txn of a life in line, or to two in a row, nobody gets stuck and nothing is left.
func TestLostAnswers(t *testing.T) {
	for _, f := range []fault{loseAnswer, loseTxn, late} {
		for n := range 6 {
			for _, run := range []int{1, 2} {
				t.Run(fmt.Sprintf("fault %d, Txn %d, %d in a row", f, n, run), func(t *testing.T) {
					t.Parallel()
					a, b := newParty(t), newParty(t)
					faults := make([]fault, n, n+run)
					for range run {
						faults = append(faults, f)
					}
					a.faults.then(faults...)
					first := a.join()
					a.head(first)
					second := b.join()
					third := a.join()
					a.pass(first)
					b.head(second)
					b.pass(second)
					a.head(third)
					a.faults.letThrough() // after the acquisition, and during a hold
					a.pass(third)
					a.faults.letThrough()
					fourth := b.join()
					b.head(fourth)
					b.pass(fourth)
					if err := errors.Join(a.keeper.Close(t.Context()), b.keeper.Close(t.Context())); err != nil {
						t.Error(err)
					}
					c := newParty(t)
					if _, err := Read(t.Context(), c.client.KV, prefix); err != nil {
						t.Error(err)
					}
					if left := c.keys(); len(left) > 0 {
						t.Errorf("left behind: %q", left)
					}
				})
			}
		}
	}
}

// TestAnIDIsUsedOnce: the id of a join without an answer is void, so that a late copy of it changes nothing, even after the lock
// was acquired and released with another.
func TestAnIDIsUsedOnce(t *testing.T) {
	a := newParty(t)
	a.faults.then(late)
	e := a.join()
	a.pass(e)
	a.faults.letThrough()
	for _, key := range a.keys() {
		if key[0] != 'x' {
			t.Errorf("the late copy of a join left %q", key)
		}
	}
	e = a.join()
	if !e.head {
		t.Error("the late copy of a join stands in line")
	}
	a.pass(e)
}

func TestGivingUpWithLostAnswers(t *testing.T) {
	for _, f := range []fault{loseAnswer, loseTxn, late} {
		a := newParty(t)
		first, e := a.join(), a.join()
		a.faults.then(f)
		a.giveUp(e)
		a.faults.letThrough()
		next := a.join()
		a.pass(first)
		a.head(next)
		a.pass(next)
		a.empty()
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
	for deadline := time.Now().Add(10 * time.Second); ; {
		s, err := Read(t.Context(), a.client.KV, prefix)
		if err != nil {
			t.Fatal(err)
		}
		if len(s) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a ghost stands in line: %+v", s)
		}
	}
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
