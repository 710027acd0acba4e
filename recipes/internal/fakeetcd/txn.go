package fakeetcd

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// decide says for each transaction of the tree, in order, which branch it takes. All compares, the nested ones as well, see what was
// before the whole.
func (s *store) decide(r *pb.TxnRequest) []bool {
	path := []bool{s.holds(r.Compare)}
	for _, op := range branch(r, path[0]) {
		if nested := op.GetRequestTxn(); nested != nil {
			path = append(path, s.decide(nested)...)
		}
	}
	return path
}

func branch(r *pb.TxnRequest, success bool) []*pb.RequestOp {
	if success {
		return r.Success
	}
	return r.Failure
}

func (s *store) holds(compares []*pb.Compare) bool {
	for _, c := range compares {
		kvs := s.read(spanOf(c.Key, c.RangeEnd), s.rev)
		if len(kvs) == 0 {
			if c.Target == pb.Compare_VALUE { // a key that isn't there has no value, not even an empty one
				return false
			}
			kvs = []*mvccpb.KeyValue{{}}
		}
		for _, kv := range kvs {
			if !compare(c, kv) {
				return false
			}
		}
	}
	return true
}

func compare(c *pb.Compare, kv *mvccpb.KeyValue) bool {
	var result int
	switch c.Target {
	case pb.Compare_VALUE:
		result = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_CREATE:
		result = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		result = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VERSION:
		result = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_LEASE:
		result = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return result == 0
	case pb.Compare_NOT_EQUAL:
		return result != 0
	case pb.Compare_GREATER:
		return result > 0
	default:
		return result < 0
	}
}

// admit refuses a transaction before it has changed anything. It returns what is left of the path.
func (s *Server) admit(r *pb.TxnRequest, path []bool) ([]bool, error) {
	ops := branch(r, path[0])
	path = path[1:]
	for _, op := range ops {
		var err error
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			err = s.store.checkRev(r.RequestRange.Revision, s.store.rev)
		case *pb.RequestOp_RequestPut:
			err = s.admitPut(r.RequestPut)
		case *pb.RequestOp_RequestTxn:
			path, err = s.admit(r.RequestTxn, path)
		}
		if err != nil {
			return nil, err
		}
	}
	return path, nil
}

func (s *Server) admitPut(r *pb.PutRequest) error {
	if r.Lease != 0 && s.leases[r.Lease] == nil {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	if (r.IgnoreValue || r.IgnoreLease) && s.store.at(string(r.Key), s.store.rev) == nil {
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

// execute does what was admitted.
func (c *change) execute(r *pb.TxnRequest, path []bool) (*pb.TxnResponse, []bool) {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: path[0]}
	path = path[1:]
	for _, op := range branch(r, resp.Succeeded) {
		answer := &pb.ResponseOp{}
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			answer.Response = &pb.ResponseOp_ResponseRange{ResponseRange: c.store.find(r.RequestRange, c.rev())}
		case *pb.RequestOp_RequestPut:
			answer.Response = &pb.ResponseOp_ResponsePut{ResponsePut: c.doPut(r.RequestPut)}
		case *pb.RequestOp_RequestDeleteRange:
			answer.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: c.doDelete(r.RequestDeleteRange)}
		case *pb.RequestOp_RequestTxn:
			nested := &pb.ResponseOp_ResponseTxn{}
			nested.ResponseTxn, path = c.execute(r.RequestTxn, path)
			answer.Response = nested
		}
		resp.Responses = append(resp.Responses, answer)
	}
	return resp, path
}

func (c *change) doPut(r *pb.PutRequest) *pb.PutResponse {
	key := string(r.Key)
	resp := &pb.PutResponse{Header: &pb.ResponseHeader{Revision: c.store.rev + 1}}
	value, lease := r.Value, r.Lease
	if old := c.store.at(key, c.rev()); old != nil {
		if r.IgnoreValue {
			value = old.Value
		}
		if r.IgnoreLease {
			lease = old.Lease
		}
		if r.PrevKv {
			resp.PrevKv = clone(old)
		}
	}
	c.put(key, value, lease)
	return resp
}

func (c *change) doDelete(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	resp := &pb.DeleteRangeResponse{}
	sp := spanOf(r.Key, r.RangeEnd)
	if r.PrevKv {
		for _, kv := range c.store.read(sp, c.rev()) {
			resp.PrevKvs = append(resp.PrevKvs, clone(kv))
		}
	}
	resp.Deleted = c.del(sp)
	resp.Header = &pb.ResponseHeader{Revision: c.rev()}
	return resp
}
