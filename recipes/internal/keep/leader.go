package keep

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A renewal is not a commit: a leader grants it from memory. One that was cut off from the others, or stood still for a while, goes on
// granting renewals, of leases that its successor is about to end, for up to two election timeouts of its own running time. No margin
// covers that, since it may have stood still for as long as it likes.
//
// So a renewal counts once a read, sent after its answer, has shown that no other leader was elected before it. etcd names a raft term
// in its answers: that of the last entry which the answering member had applied, before it had the lease renewed and after it had read.
// A linearizable read is confirmed by a majority, so that its term is no smaller than that of any leader elected before it was sent. If
// it is the term that the renewal named, there was no later leader then; and one elected afterwards starts the lease anew.

var errNewLeader = errors.New("etcd elects another leader")

// ledIn is nil if the leader of a term was the last one when this was called.
func (k *Keeper) ledIn(ctx context.Context, term uint64) error {
	last, err := k.term(ctx)
	if err == nil && last != term {
		err = errNewLeader
	}
	return err
}

// readTerm is the raft term that a linearizable read names. It reads no key that anybody writes, within the root, which is all that the
// user may be allowed to read.
func (k *Keeper) readTerm(ctx context.Context) (uint64, error) {
	resp, err := k.Get(ctx, k.cfg.Root+"/", clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return resp.Header.GetRaftTerm(), nil
}
