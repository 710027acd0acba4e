package fakeetcd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"pgregory.net/rapid"
)

var kinds = [...]kind{
	{"put", drawn(drawPut)},
	{"get", drawn(drawGet)},
	{"delete", drawn(drawDelete)},
	{"txn", drawTxn},
	{"nested txn", drawTxn},
	{"txn on one key", drawGuard},
	{"compact", drawCompact},
	{"grant", drawGrant},
	{"revoke", drawRevoke},
	{"renew", drawRenew},
	{"time to live", drawTimeToLive},
	{"watch", drawWatch},
	{"cancel a watch", drawCancel},
	{"progress", drawProgress},
}

// op is an operation of etcd's on a side: revisions and leases are the side's own.
type op func(s *side) clientv3.Op

// drawn makes an operation a request of its own.
func drawn(draw func(t *rapid.T, p *pair) op) func(t *rapid.T, p *pair) func(s *side) string {
	return func(t *rapid.T, p *pair) func(s *side) string {
		op := draw(t, p)
		return func(s *side) string {
			resp, err := s.client.Do(context.Background(), op(s))
			return s.answer(resp, err)
		}
	}
}

func oneOf(t *rapid.T, what string, n int) bool { return rapid.IntRange(1, n).Draw(t, what) == n }

func drawKey(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "b/1", "b/2", "c"}).Draw(t, "key")
}

func drawValue(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "value")
}

// drawSpan is the option that makes it many keys, or none.
func drawSpan(t *rapid.T) []clientv3.OpOption {
	switch rapid.IntRange(0, 5).Draw(t, "span") {
	case 0:
		return []clientv3.OpOption{clientv3.WithPrefix()}
	case 1:
		return []clientv3.OpOption{clientv3.WithRange("c")}
	case 2:
		return []clientv3.OpOption{clientv3.WithFromKey()}
	default:
		return nil
	}
}

// drawLease is one of the leases, one that nobody has, or none.
func drawLease(t *rapid.T, p *pair) func(s *side) clientv3.LeaseID {
	n := -2
	if have := len(p.sides[0].leases); have > 0 && rapid.Bool().Draw(t, "on a lease") {
		n = rapid.IntRange(0, have-1).Draw(t, "lease")
	} else if oneOf(t, "on one that is not there", 12) {
		n = -1
	}
	return func(s *side) clientv3.LeaseID {
		switch n {
		case -2:
			return 0
		case -1:
			return 7
		}
		return s.leases[n]
	}
}

// drawRev is a revision around those there are.
func drawRev(t *rapid.T, p *pair) int64 { return rapid.Int64Range(2, p.rev+2).Draw(t, "rev") }

func drawPut(t *rapid.T, p *pair) op {
	key, value, lease := drawKey(t), drawValue(t), drawLease(t, p)
	var opts []clientv3.OpOption
	if rapid.Bool().Draw(t, "prev") {
		opts = append(opts, clientv3.WithPrevKV())
	}
	ignoreLease := oneOf(t, "ignore lease", 8)
	if ignoreLease {
		opts = append(opts, clientv3.WithIgnoreLease())
	}
	if oneOf(t, "ignore value", 8) {
		opts, value = append(opts, clientv3.WithIgnoreValue()), ""
	}
	return func(s *side) clientv3.Op {
		if ignoreLease {
			return clientv3.OpPut(key, value, opts...)
		}
		return clientv3.OpPut(key, value, append(slices.Clip(opts), clientv3.WithLease(lease(s)))...)
	}
}

func drawGet(t *rapid.T, p *pair) op {
	key, opts := drawKey(t), drawSpan(t)
	if rapid.Bool().Draw(t, "keys only") {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	if oneOf(t, "count only", 6) {
		opts = append(opts, clientv3.WithCountOnly())
	}
	if oneOf(t, "limited", 4) {
		opts = append(opts, clientv3.WithLimit(rapid.Int64Range(1, 3).Draw(t, "limit")))
	}
	if oneOf(t, "sorted", 3) {
		target := rapid.SampledFrom([]clientv3.SortTarget{
			clientv3.SortByKey, clientv3.SortByVersion, clientv3.SortByCreateRevision, clientv3.SortByModRevision, clientv3.SortByValue,
		}).Draw(t, "by")
		order := rapid.SampledFrom([]clientv3.SortOrder{clientv3.SortNone, clientv3.SortAscend, clientv3.SortDescend}).Draw(t, "order")
		opts = append(opts, clientv3.WithSort(target, order))
	}
	var revs []func(s *side) clientv3.OpOption
	for _, with := range []func(int64) clientv3.OpOption{
		clientv3.WithRev, clientv3.WithMinModRev, clientv3.WithMaxModRev, clientv3.WithMinCreateRev, clientv3.WithMaxCreateRev,
	} {
		if oneOf(t, "by revision", 5) {
			rev := drawRev(t, p)
			revs = append(revs, func(s *side) clientv3.OpOption { return with(s.base + rev) })
		}
	}
	return func(s *side) clientv3.Op {
		all := slices.Clip(opts)
		for _, with := range revs {
			all = append(all, with(s))
		}
		return clientv3.OpGet(key, all...)
	}
}

func drawDelete(t *rapid.T, _ *pair) op {
	key, opts := drawKey(t), drawSpan(t)
	if rapid.Bool().Draw(t, "prev") {
		opts = append(opts, clientv3.WithPrevKV())
	}
	return func(*side) clientv3.Op { return clientv3.OpDelete(key, opts...) }
}

func drawCompare(t *rapid.T, p *pair) func(s *side) clientv3.Cmp {
	key, result := drawKey(t), rapid.SampledFrom([]string{"=", "!=", ">", "<"}).Draw(t, "result")
	rev := rapid.Int64Range(-1, p.rev).Draw(t, "rev")
	value, version, lease, wide := drawValue(t), rapid.IntRange(0, 3).Draw(t, "version"), drawLease(t, p), oneOf(t, "prefix", 4)
	target := rapid.IntRange(0, 4).Draw(t, "target")
	return func(s *side) (c clientv3.Cmp) {
		at := rev + s.base
		if rev <= 0 {
			at = 0
		}
		switch target {
		case 0:
			c = clientv3.Compare(clientv3.Value(key), result, value)
		case 1:
			c = clientv3.Compare(clientv3.CreateRevision(key), result, at)
		case 2:
			c = clientv3.Compare(clientv3.ModRevision(key), result, at)
		case 3:
			c = clientv3.Compare(clientv3.Version(key), result, version)
		case 4:
			c = clientv3.Compare(clientv3.LeaseValue(key), "=", lease(s)) // the order of ids is a side's own
		}
		if wide {
			c = c.WithPrefix()
		}
		return c
	}
}

// tree is a transaction.
type tree struct {
	ifs       []func(s *side) clientv3.Cmp
	then, els []op
}

func drawTree(t *rapid.T, p *pair, depth int) tree {
	var tr tree
	for range rapid.IntRange(0, 2).Draw(t, "compares") {
		tr.ifs = append(tr.ifs, drawCompare(t, p))
	}
	tr.then, tr.els = drawBranch(t, p, depth), drawBranch(t, p, depth)
	return tr
}

func drawBranch(t *rapid.T, p *pair, depth int) (ops []op) {
	for range rapid.IntRange(0, 3).Draw(t, "ops") {
		switch rapid.IntRange(0, 3).Draw(t, "op") {
		case 0:
			ops = append(ops, drawGet(t, p))
		case 1:
			ops = append(ops, drawDelete(t, p))
		case 2:
			ops = append(ops, drawPut(t, p))
		case 3:
			if depth > 0 {
				nested := drawTree(t, p, depth-1)
				ops = append(ops, func(s *side) clientv3.Op {
					return clientv3.OpTxn(nested.compares(s), on(s, nested.then), on(s, nested.els))
				})
			}
		}
	}
	return ops
}

func on(s *side, ops []op) (all []clientv3.Op) {
	for _, op := range ops {
		all = append(all, op(s))
	}
	return all
}

func (tr tree) compares(s *side) (all []clientv3.Cmp) {
	for _, c := range tr.ifs {
		all = append(all, c(s))
	}
	return all
}

func (tr tree) send(s *side) string {
	resp, err := s.client.Txn(context.Background()).If(tr.compares(s)...).Then(on(s, tr.then)...).Else(on(s, tr.els)...).Commit()
	if err != nil {
		return err.Error()
	}
	return s.txn((*pb.TxnResponse)(resp))
}

func drawTxn(t *rapid.T, p *pair) func(s *side) string { return drawTree(t, p, 2).send }

// drawGuard is what the recipes send most: a guard on one key, and few writes that don't clash.
func drawGuard(t *rapid.T, p *pair) func(s *side) string {
	return tree{ifs: []func(s *side) clientv3.Cmp{drawCompare(t, p)}, then: []op{drawPut(t, p)}, els: []op{drawGet(t, p), drawPut(t, p)}}.send
}

func (s *side) rel(rev int64) int64 {
	if rev == 0 {
		return 0
	}
	return rev - s.base
}

func (s *side) lease(id int64) string {
	for n, l := range s.leases {
		if int64(l) == id {
			return fmt.Sprintf("lease %d", n)
		}
	}
	return fmt.Sprint(id)
}

func (s *side) kv(kv *mvccpb.KeyValue) string {
	if kv == nil {
		return "none"
	}
	return fmt.Sprintf("%s=%q created %d mod %d version %d %s", kv.Key, kv.Value, s.rel(kv.CreateRevision), s.rel(kv.ModRevision), kv.Version, s.lease(kv.Lease))
}

func (s *side) kvs(kvs []*mvccpb.KeyValue) string {
	var b strings.Builder
	for _, kv := range kvs {
		b.WriteString("\n    " + s.kv(kv))
	}
	return b.String()
}
