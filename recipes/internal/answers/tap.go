package answers

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// tap sees what goes between a client and etcd, below what loses answers; and of leases what the client hears.
type tap struct {
	clientv3.Lease

	mu     sync.Mutex
	reads  []bool                    // of the requests so far, which don't change anything
	leases map[clientv3.LeaseID]bool // those that were granted: whether the client has heard of it
}

func newTap() *tap { return &tap{leases: map[clientv3.LeaseID]bool{}} }

func (t *tap) granted(id clientv3.LeaseID, heard bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leases[id] = t.leases[id] || heard
}

func (t *tap) allLeases() map[clientv3.LeaseID]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.leases)
}

// since are the requests but for the first n.
func (t *tap) since(n int) []bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.reads[n:])
}

// Grant notes what the client hears.
func (t *tap) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	resp, err := t.Lease.Grant(ctx, ttl)
	if err == nil {
		t.granted(resp.ID, true)
	}
	return resp, err
}

// intercept notes what the client asks and etcd answers.
func (t *tap) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if strings.HasPrefix(method, "/etcdserverpb.KV/") || strings.HasPrefix(method, "/etcdserverpb.Lease/") {
		t.mu.Lock()
		t.reads = append(t.reads, onlyReads(req))
		t.mu.Unlock()
	}
	err := invoke(ctx, method, req, reply, conn, opts...)
	if resp, ok := reply.(*pb.LeaseGrantResponse); ok && err == nil {
		t.granted(clientv3.LeaseID(resp.ID), false)
	}
	return err
}

func onlyReads(req any) bool {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return true
	case *pb.TxnRequest:
		return !slices.ContainsFunc(slices.Concat(r.Success, r.Failure), func(op *pb.RequestOp) bool {
			return op.GetRequestRange() == nil && (op.GetRequestTxn() == nil || !onlyReads(op.GetRequestTxn()))
		})
	default:
		return false
	}
}
