package etcdfence

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
)

// KV is a clientv3.KV whose writes land only while the claim in their ctx is held. Each of them is sent together with the condition that
// the key of the hold is still what it was when the hold was given; etcd decides at the instant of the commit.
//
// The errors of Put, Delete, Txn and Do are
//   - those of fencing.FromContext, fencing.ErrShared, and fencing.ErrBadClaim for a claim without a key, which is one that came over a
//     wire: nothing was sent;
//   - fencing.ErrStale, if the hold has ended in etcd: nothing was written, and trying again changes nothing (it is no *fencing.StaleError:
//     nobody need have a larger token yet);
//   - fencing.ErrUnknownOutcome, if there is no answer: a write is sent once;
//   - etcd's own, if it refused the request: nothing was written.
//
// Reads go through as they are and need no claim, except those in a Txn: they show what was there while the claim was held. Compact is
// refused: history belongs to no hold.
//
// A KV is safe for concurrent use. It doesn't guard leases: a key that is put with a lease goes when that ends.
type KV struct{ kv clientv3.KV }

var _ clientv3.KV = (*KV)(nil)

// NewKV guards the writes that are made through it, by way of kv: a *clientv3.Client, or its KV. It must see keys as the client of
// the hold's session does: the same cluster, and the same namespace if there is one. If it doesn't, every write gives
// fencing.ErrStale.
func NewKV(kv clientv3.KV) *KV { return &KV{kv} }

// Put is that of clientv3.KV, while the claim in ctx is held.
func (k *KV) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	resp, err := k.write(ctx, "put", clientv3.OpPut(key, val, opts...))
	if err != nil {
		return nil, err
	}
	return put(resp), nil
}

// Delete is that of clientv3.KV, while the claim in ctx is held.
func (k *KV) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	resp, err := k.write(ctx, "delete", clientv3.OpDelete(key, opts...))
	if err != nil {
		return nil, err
	}
	return deleted(resp), nil
}

// Txn is that of clientv3.KV, while the claim in ctx is held: also one that only reads. Conditions of your own (If, Else) tell by
// resp.Succeeded, as usual. If, Then and Else may be called several times and in any order; all errors come from Commit.
func (k *KV) Txn(ctx context.Context) clientv3.Txn {
	return &txn{commit: func(own clientv3.Op) (*clientv3.TxnResponse, error) {
		resp, err := k.write(ctx, "txn", own)
		if err != nil {
			return nil, err
		}
		return nested(resp, 0), nil
	}}
}

// Do is that of clientv3.KV: a Get as it is, everything else while the claim in ctx is held.
func (k *KV) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if op.IsGet() {
		if k.kv == nil {
			return clientv3.OpResponse{}, fmt.Errorf("etcdfence: %w", errNil)
		}
		return k.kv.Do(ctx, op)
	}
	resp, err := k.write(ctx, "do", op)
	switch {
	case err != nil:
		return clientv3.OpResponse{}, err
	case op.IsPut():
		return put(resp).OpResponse(), nil
	case op.IsDelete():
		return deleted(resp).OpResponse(), nil
	}
	return nested(resp, 0).OpResponse(), nil
}

// Get is that of clientv3.KV.
func (k *KV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if k.kv == nil {
		return nil, fmt.Errorf("etcdfence: %w", errNil)
	}
	return k.kv.Get(ctx, key, opts...)
}

// GetStream is that of clientv3.KV.
func (k *KV) GetStream(ctx context.Context, key string, opts ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	if k.kv == nil {
		return nil, fmt.Errorf("etcdfence: %w", errNil)
	}
	return k.kv.GetStream(ctx, key, opts...)
}

// Compact is refused with an error that Is errors.ErrUnsupported: no hold can allow it. Use the client itself.
func (k *KV) Compact(context.Context, int64, ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	return nil, fmt.Errorf("etcdfence: compact: %w: history belongs to no hold, use the client itself", errors.ErrUnsupported)
}

// write sends one operation, once, on condition that the claim is held.
func (k *KV) write(ctx context.Context, act string, op clientv3.Op) (*clientv3.TxnResponse, error) {
	c, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	owned, err := ownership(c)
	if err == nil {
		err = ready(ctx, k.kv)
	}
	if err != nil {
		return nil, failed(act, c, err)
	}
	resp, err := k.kv.Txn(ctx).If(owned).Then(op).Commit()
	switch {
	case err != nil:
		return nil, failed(act, c, unlessApplied(because(ctx, err)))
	case !resp.Succeeded:
		return nil, failed(act, c, errNotOwned)
	}
	return resp, nil
}

var errNotOwned = fmt.Errorf("%w: the hold has ended in etcd, its key is gone or was changed", fencing.ErrStale)

// ownership is the condition that the write which gave the hold is still the last one to its key.
func ownership(c fencing.Claim) (clientv3.Cmp, error) {
	if c.Key == "" {
		return clientv3.Cmp{}, fmt.Errorf("%w: it has no key in etcd, as one that came over a wire: use a Gate", fencing.ErrBadClaim)
	}
	rev, ok := c.Token.Int64()
	if !ok {
		return clientv3.Cmp{}, fmt.Errorf("%w: the token %v is not a revision", fencing.ErrBadClaim, c.Token)
	}
	return clientv3.Compare(clientv3.ModRevision(c.Key), "=", rev), nil
}

func put(resp *clientv3.TxnResponse) *clientv3.PutResponse {
	answer := (*clientv3.PutResponse)(resp.Responses[0].GetResponsePut())
	answer.Header = resp.Header
	return answer
}

func deleted(resp *clientv3.TxnResponse) *clientv3.DeleteResponse {
	answer := (*clientv3.DeleteResponse)(resp.Responses[0].GetResponseDeleteRange())
	answer.Header = resp.Header
	return answer
}
