package fakeetcd

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// maxOps is how many compares, or operations of one branch, a transaction may have.
const maxOps = 128

func checkKey(key []byte) error {
	if len(key) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	return nil
}

func checkPut(r *pb.PutRequest) error {
	switch {
	case len(r.Key) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case r.IgnoreValue && len(r.Value) != 0:
		return rpctypes.ErrGRPCValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

// checkTxn refuses a transaction that can be refused without looking at the keys.
func checkTxn(r *pb.TxnRequest) error {
	if err := checkShape(r, maxOps); err != nil {
		return err
	}
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		if _, err := writesOf(branch); err != nil {
			return err
		}
	}
	return nil
}

func checkShape(r *pb.TxnRequest, most int) error {
	ops := max(len(r.Compare), len(r.Success), len(r.Failure))
	if ops > most {
		return rpctypes.ErrGRPCTooManyOps
	}
	for _, c := range r.Compare {
		if err := checkKey(c.Key); err != nil {
			return err
		}
	}
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if err := checkOp(op, most-ops); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOp(op *pb.RequestOp, most int) error {
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return checkKey(r.RequestRange.Key)
	case *pb.RequestOp_RequestPut:
		return checkPut(r.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return checkKey(r.RequestDeleteRange.Key)
	case *pb.RequestOp_RequestTxn:
		return checkShape(r.RequestTxn, most)
	default:
		return rpctypes.ErrGRPCKeyNotFound
	}
}

// writes are the keys that one branch of a transaction may write.
type writes struct {
	puts map[string]bool
	dels []span
}

func (w *writes) put(key string) error {
	if w.puts[key] || w.deletes(key) {
		return rpctypes.ErrGRPCDuplicateKey
	}
	w.puts[key] = true
	return nil
}

func (w *writes) deletes(key string) bool {
	for _, sp := range w.dels {
		if sp.has(key) {
			return true
		}
	}
	return false
}

// writesOf refuses a branch that could write a key twice. The two branches of a nested transaction exclude each other.
func writesOf(branch []*pb.RequestOp) (writes, error) {
	w := writes{puts: make(map[string]bool)}
	for _, op := range branch {
		if r := op.GetRequestDeleteRange(); r != nil {
			w.dels = append(w.dels, spanOf(r.Key, r.RangeEnd))
		}
	}
	for _, op := range branch {
		if r := op.GetRequestTxn(); r != nil {
			if err := w.nested(r); err != nil {
				return w, err
			}
		}
	}
	for _, op := range branch {
		if r := op.GetRequestPut(); r != nil {
			if err := w.put(string(r.Key)); err != nil {
				return w, err
			}
		}
	}
	return w, nil
}

func (w *writes) nested(r *pb.TxnRequest) error {
	then, err := writesOf(r.Success)
	if err != nil {
		return err
	}
	els, err := writesOf(r.Failure)
	if err != nil {
		return err
	}
	for key := range then.puts {
		if err := w.put(key); err != nil {
			return err
		}
	}
	for key := range els.puts {
		if then.puts[key] {
			continue
		}
		if err := w.put(key); err != nil {
			return err
		}
	}
	w.dels = append(append(w.dels, then.dels...), els.dels...)
	return nil
}

// hasPut reports whether the request may write something, in whatever branch: an etcd that is out of space refuses it then.
func hasPut(r *pb.TxnRequest) bool {
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if op.GetRequestPut() != nil || op.GetRequestTxn() != nil && hasPut(op.GetRequestTxn()) {
				return true
			}
		}
	}
	return false
}
