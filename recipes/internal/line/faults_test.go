package line

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fault is what happens to a Txn.
type fault int

const (
	noFault    fault = iota
	loseAnswer       // it is applied, and nobody hears
	loseTxn          // it never arrives
	late             // nobody hears, and it is applied when letThrough is called
	silent           // it is applied, and no answer comes until the caller gives up
	full             // refused: no space
	denied           // refused: no permission
)

// errAway is what a client hears that gets no answer: from gRPC, or from an etcd that has lost its leader or its time.
var errAway = []error{status.Error(codes.Unavailable, "etcd is away"), rpctypes.ErrTimeout, rpctypes.ErrLeaderChanged, context.DeadlineExceeded}

// faultyKV lets things happen to Txns.
type faultyKV struct {
	clientv3.KV
	mu    sync.Mutex
	next  []fault
	gone  int // answers that were lost so far
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
	fate := t.kv.fate()
	if fate != silent {
		defer t.kv.answered()
	}
	send := func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return t.kv.KV.Txn(ctx).If(t.cs...).Then(t.th...).Else(t.el...).Commit()
	}
	switch fate {
	case silent:
		_, _ = send(t.ctx)
		t.kv.answered()
		<-t.ctx.Done()
		return nil, t.ctx.Err()
	case loseAnswer:
		_, _ = send(t.ctx)
		return nil, t.kv.away()
	case loseTxn:
		return nil, t.kv.away()
	case late:
		t.kv.mu.Lock()
		t.kv.held = append(t.kv.held, func() { _, _ = send(context.Background()) })
		t.kv.mu.Unlock()
		return nil, t.kv.away()
	case full:
		if puts(t.th) || puts(t.el) {
			return nil, rpctypes.ErrNoSpace
		}
	case denied:
		return nil, rpctypes.ErrPermissionDenied
	}
	return send(t.ctx)
}

func puts(ops []clientv3.Op) bool {
	return slices.ContainsFunc(ops, func(op clientv3.Op) bool {
		_, then, els := op.Txn()
		return op.IsPut() || puts(then) || puts(els)
	})
}

// away is each of errAway in turn.
func (f *faultyKV) away() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone++
	return errAway[f.gone%len(errAway)]
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
