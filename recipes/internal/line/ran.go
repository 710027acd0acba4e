package line

import (
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ran is what etcd has done of a tree of operations, each at the revision rev.
type ran struct {
	rev  int64
	puts []clientv3.Op                 // what was written
	prev map[string]*mvccpb.KeyValue   // of those, what was there before, where that was asked for
	gets map[string][]*mvccpb.KeyValue // what was read, by key
}

// follow walks down the branches that etcd has taken.
func follow(resp *clientv3.TxnResponse, ops ...clientv3.Op) *ran {
	r := &ran{rev: resp.Header.Revision, prev: map[string]*mvccpb.KeyValue{}, gets: map[string][]*mvccpb.KeyValue{}}
	r.walk(ops, resp.Responses)
	return r
}

func (r *ran) walk(ops []clientv3.Op, answers []*etcdserverpb.ResponseOp) {
	for i, op := range ops {
		key := string(op.KeyBytes())
		switch {
		case op.IsTxn():
			_, branch, otherwise := op.Txn()
			inner := answers[i].GetResponseTxn()
			if !inner.Succeeded {
				branch = otherwise
			}
			r.walk(branch, inner.Responses)
		case op.IsPut():
			r.puts = append(r.puts, op)
			r.prev[key] = answers[i].GetResponsePut().PrevKv
		case op.IsGet():
			r.gets[key] = answers[i].GetResponseRange().Kvs
		}
	}
}
