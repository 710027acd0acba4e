package chaos

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// operator is what somebody does to a key who may do so, and doesn't ask.
func operator(r *round, a *act, do func(ctx context.Context, f *history.Fault) error) error {
	ctx, cancel := context.WithTimeout(r.alive, requestLimit)
	defer cancel()
	f := a.begin()
	if err := do(ctx, f); err != nil {
		f.Note = err.Error() // the server may be away; then it may have been done, or be done later
	}
	r.end(f)
	return nil
}

func revoke(r *round, a *act) error {
	p, _, ok := r.tap.holder(a.rand)
	if !ok || p.lease == 0 {
		return nil
	}
	return operator(r, a, func(ctx context.Context, f *history.Fault) error {
		f.Breach, f.Lease = true, p.lease
		_, err := r.cluster.admin.etcd.Revoke(ctx, clientv3.LeaseID(p.lease))
		return err
	})
}

func deleteKey(r *round, a *act) error {
	p, w, ok := r.tap.holder(a.rand)
	if !ok {
		return nil
	}
	if a.rand.IntN(4) == 0 {
		p = w
	}
	return operator(r, a, func(ctx context.Context, f *history.Fault) error {
		f.Breach, f.Keys = true, []string{p.key}
		resp, err := r.cluster.admin.etcd.Delete(ctx, p.key)
		if err == nil {
			f.Rev = resp.Header.Revision
		}
		return err
	})
}

func removeWaiter(r *round, a *act) error {
	holder, p, ok := r.tap.holder(a.rand)
	if !ok || p == holder || !r.inLine || r.tap.queue != nil && !r.tap.queue.Waits(p.key) {
		return nil
	}
	return operator(r, a, func(ctx context.Context, f *history.Fault) error {
		f.Breach, f.Keys = true, []string{p.key}
		live := clientv3.Compare(clientv3.ModRevision(p.key), "=", p.create)
		put := clientv3.OpPut(p.key, `{"state":"removed"}`, clientv3.WithLease(clientv3.LeaseID(p.lease)))
		resp, err := r.cluster.admin.etcd.Txn(ctx).If(live).Then(put).Commit()
		if err == nil {
			f.Rev = resp.Header.Revision
		}
		return err
	})
}

func compactOften(r *round, a *act) error {
	f := a.begin()
	for until := time.Now().Add(a.lasts); time.Now().Before(until) && r.ctx.Err() == nil; {
		if rev := r.tap.seen(); rev > 0 {
			if err := r.cluster.admin.compact(r.ctx, rev); err != nil {
				f.Note = fmt.Sprint(err)
			}
		}
		sleep(r.ctx, 100*ms)
	}
	r.end(f)
	return nil
}

func defragment(r *round, a *act) error {
	f := a.begin()
	f.Server = true
	ctx, cancel := context.WithTimeout(r.alive, requestLimit)
	defer cancel()
	if _, err := r.cluster.admin.etcd.Defragment(ctx, r.anyMember(a).endpoint); err != nil {
		f.Note = err.Error()
	}
	r.end(f)
	return nil
}
