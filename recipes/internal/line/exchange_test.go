package line

import (
	"context"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// afterRequest calls do once, when the n-th request has been answered.
type afterRequest struct {
	clientv3.KV
	n  int
	do func()
}

func (a *afterRequest) count() {
	if a.n--; a.n == 0 {
		a.do()
	}
}

func (a *afterRequest) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	defer a.count()
	return a.KV.Get(ctx, key, opts...)
}

func (a *afterRequest) Txn(ctx context.Context) clientv3.Txn {
	return &countedTxn{a.KV.Txn(ctx), a}
}

type countedTxn struct {
	clientv3.Txn
	by *afterRequest
}

func (t *countedTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t *countedTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(ops...); return t }
func (t *countedTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *countedTxn) Commit() (*clientv3.TxnResponse, error) {
	defer t.by.count()
	return t.Txn.Commit()
}

// TestAnExchangeThatIsLateIsDropped: whenever it is applied, before Drop, between its requests, or after it, nothing is held in the end.
func TestAnExchangeThatIsLateIsDropped(t *testing.T) {
	for n := range 4 {
		t.Run(fmt.Sprintf("applied after request %d", n), func(t *testing.T) {
			a := newParty(t).placed()
			e := a.get()
			lost := make([]fault, 100)
			for i := range lost {
				lost[i] = loseTxn
			}
			lost[0] = late
			a.faults.then(lost...)
			ctx, cancel := context.WithCancel(t.Context())
			sent, failed := a.faults.passed(), make(chan error, 1)
			go func() { failed <- e.Exchange(ctx, "r") }()
			<-sent
			cancel()
			if err := <-failed; err == nil {
				t.Fatal("exchanged without an answer")
			}
			a.faults.then()
			etcd := a.faults.KV
			if n == 0 {
				a.faults.letThrough()
			} else {
				a.faults.KV = &afterRequest{a.faults.KV, n, a.faults.letThrough}
			}
			if err := e.Drop(t.Context()); err != nil {
				t.Errorf("Drop = %v", err)
			}
			a.faults.KV = etcd
			a.faults.letThrough()
			a.empty()
		})
	}
}
