package etcdfence

import (
	clientv3 "go.etcd.io/etcd/client/v3"
)

// txn collects what is the caller's own. That becomes one operation of the transaction that is sent, so that the caller's conditions
// and the guard's can be told apart.
type txn struct {
	ifs    []clientv3.Cmp
	then   []clientv3.Op
	els    []clientv3.Op
	commit func(own clientv3.Op) (*clientv3.TxnResponse, error)
}

func (t *txn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.ifs = append(t.ifs, cs...)
	return t
}

func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.then = append(t.then, ops...)
	return t
}

func (t *txn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.els = append(t.els, ops...)
	return t
}

func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	return t.commit(clientv3.OpTxn(t.ifs, t.then, t.els))
}

// nested is the answer to the caller's own transaction, which was the i-th operation.
func nested(resp *clientv3.TxnResponse, i int) *clientv3.TxnResponse {
	own := resp.Responses[i].GetResponseTxn()
	return &clientv3.TxnResponse{Header: resp.Header, Succeeded: own.Succeeded, Responses: own.Responses}
}
