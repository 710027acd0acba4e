package etcdfence

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
)

var _ fencing.Gate = (*Gate)(nil)

// MaxResource is the longest name of a resource, in bytes. The recipes' names fit.
const MaxResource = 1024

// Gate is a fencing.Gate that remembers in etcd. It has two keys for each resource, whose values are tokens (Token.Sortable):
//
//	<prefix>any/<resource>          the largest token, of either mode: an exclusive claim is measured against it
//	<prefix>exclusive/<resource>    the largest exclusive token: a shared claim is measured against it
//
// Never delete them, not even when a resource is no longer used, and put no lease on them: with its keys a resource forgets whom it must
// refuse.
//
// An exclusive token that has been seen before changes nothing in etcd. A Gate is safe for concurrent use, and any number of them may share a prefix.
type Gate struct {
	kv     clientv3.KV
	prefix string
}

// NewGate makes a gate whose keys begin with prefix, as kv sees them: "fence/", say. Keep the prefix apart from all other keys.
func NewGate(kv clientv3.KV, prefix string) *Gate { return &Gate{kv, prefix} }

// Check admits a write that the caller makes elsewhere, and later: nothing keeps a larger token from being admitted in between. For
// writes to etcd there is Txn.
func (g *Gate) Check(ctx context.Context) error {
	c, err := writer(ctx)
	if err != nil {
		return err
	}
	_, err = g.admit(ctx, c)
	return failed("check", c, err)
}

// Seal admits a new holder of either mode. Once it returns nil, no transaction of an earlier holder commits through Txn any more.
func (g *Gate) Seal(ctx context.Context) error {
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	_, err = g.admit(ctx, c)
	return failed("seal", c, err)
}

// CheckRead admits a read that the caller makes. A reader that may not see a larger holder's write checks again after it has read.
func (g *Gate) CheckRead(ctx context.Context) error {
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	return failed("check", c, g.read(ctx, c))
}

// Txn is a transaction of etcd's that commits only if the claim in ctx is admitted as by Check, and remembers its token in the same
// step:
//
//	resp, err := gate.Txn(ctx).Then(clientv3.OpPut(key, value)).Commit()
//
// Conditions of your own (If, Else) tell by resp.Succeeded, as usual; the token counts as seen also if they don't hold. All errors come from
// Commit, and with one of them nothing was written, except that after fencing.ErrUnknownOutcome nobody knows: it is sent once. Your
// operations must leave the gate's own keys alone.
func (g *Gate) Txn(ctx context.Context) clientv3.Txn {
	return &txn{commit: func(own clientv3.Op) (*clientv3.TxnResponse, error) {
		c, err := writer(ctx)
		if err != nil {
			return nil, err
		}
		resp, err := g.admit(ctx, c, own)
		if err != nil {
			return nil, failed("txn", c, unlessApplied(err))
		}
		return nested(resp, 1), nil
	}}
}

func (g *Gate) anyKey(c fencing.Claim) string       { return g.prefix + "any/" + c.Resource }
func (g *Gate) exclusiveKey(c fencing.Claim) string { return g.prefix + "exclusive/" + c.Resource }

// against is the key with the token that c is measured against.
func (g *Gate) against(c fencing.Claim) string {
	if c.Mode == fencing.Exclusive {
		return g.anyKey(c)
	}
	return g.exclusiveKey(c)
}

// admit has etcd compare, remember, and do what is the caller's own, in one transaction. Its condition is that c is refused: a comparison
// with the value of a key that isn't there never holds, and so nothing has to be created before.
func (g *Gate) admit(ctx context.Context, c fencing.Claim, own ...clientv3.Op) (*clientv3.TxnResponse, error) {
	if err := ready(ctx, g.kv); err != nil {
		return nil, notDone{err}
	}
	resp, err := g.kv.Txn(ctx).
		If(clientv3.Compare(clientv3.Value(g.against(c)), ">", c.Token.Sortable())).
		Then(clientv3.OpGet(g.against(c))).
		Else(append([]clientv3.Op{g.remember(c)}, own...)...).
		Commit()
	switch {
	case err != nil:
		return nil, because(ctx, err)
	case resp.Succeeded:
		return nil, notDone{stale(c, resp.Responses[0].GetResponseRange().Kvs)}
	}
	return resp, nil
}

// remember raises the keys of an admitted claim: no key has a larger token, except the one for both modes when c is shared.
func (g *Gate) remember(c fencing.Claim) clientv3.Op {
	token := c.Token.Sortable()
	raise := clientv3.OpPut(g.anyKey(c), token)
	if c.Mode == fencing.Shared {
		return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(g.anyKey(c)), ">", token)}, nil, []clientv3.Op{raise})
	}
	seen := clientv3.Compare(clientv3.Value(g.exclusiveKey(c)), "=", token) // and then the other key has no smaller one
	return clientv3.OpTxn([]clientv3.Cmp{seen}, nil, []clientv3.Op{raise, clientv3.OpPut(g.exclusiveKey(c), token)})
}

func (g *Gate) read(ctx context.Context, c fencing.Claim) error {
	if err := ready(ctx, g.kv); err != nil {
		return err
	}
	resp, err := g.kv.Get(ctx, g.against(c))
	switch {
	case err != nil:
		return because(ctx, err)
	case len(resp.Kvs) == 0:
		return nil
	}
	if seen, err := fencing.ParseSortable(string(resp.Kvs[0].Value)); err == nil && seen.Compare(c.Token) <= 0 {
		return nil
	}
	return stale(c, resp.Kvs)
}

// stale is why a claim was refused that was measured against what is in kvs.
func stale(c fencing.Claim, kvs []*mvccpb.KeyValue) error {
	if len(kvs) != 1 {
		return errors.New("the token was refused, by a key that is not there")
	}
	seen, err := fencing.ParseSortable(string(kvs[0].Value))
	if err != nil {
		return fmt.Errorf("the value of %q: %w", kvs[0].Key, err)
	}
	return &fencing.StaleError{Resource: c.Resource, Seen: seen, Presented: c.Token}
}
