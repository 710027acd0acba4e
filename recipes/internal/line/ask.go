package line

import (
	"context"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A Gated is a Want that not everybody may wait for, and that may be free where Blind, which has read nothing, can't tell.
type Gated interface {
	Want
	// Gate is what is done when Blind has given nothing: it stands in line by join, or reads by look. Who has looked asks Plan: that refuses
	// it, or has it ask again for what is free, or stand in line. alone says that nobody stood in line.
	Gate(g Grantee, alone bool, join, look clientv3.Op) clientv3.Op
}

// A door is what is done instead of taking a place; alone says that nobody stood in line.
type door func(alone bool) clientv3.Op

// door is how e comes into line.
func (e *Entry) door(want Want) door {
	return func(alone bool) clientv3.Op {
		join := clientv3.OpTxn(nil, e.joining(), nil)
		if gated, ok := want.(Gated); ok {
			return gated.Gate(e.grantee(), alone, join, e.line.looking())
		}
		return join
	}
}

// looking reads the tail and the places.
func (ln *Line) looking() clientv3.Op {
	return clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet(ln.tail()), clientv3.OpGet(ln.prefix+places, clientv3.WithPrefix())}, nil)
}

// enter asks for the place in one Txn, and goes through the door if it isn't to be had at once. If that has only looked it asks again, by what
// it has seen: for what is free, or else to stand in line; unless held, if there is one, says that this is the end of it. It is false without
// an error if an earlier copy of this very request has been there.
func (e *Entry) enter(ctx context.Context, want Want, otherwise door, held func(read *ran) error) (bool, error) {
	op := clientv3.OpTxn([]clientv3.Cmp{absent(e.line.tail())}, []clientv3.Op{want.Blind(e.grantee(), otherwise(true))}, []clientv3.Op{otherwise(false)})
	for {
		resp, err := e.line.keeper.Txn(ctx, e.line.unused(e.id), []clientv3.Op{op}, nil)
		if err != nil || !resp.Succeeded {
			return false, err
		}
		read := follow(resp, op)
		if e.took(read) {
			return true, nil
		}
		e.id = uuid.NewString() // each is sent once
		grant, free, err := e.foresee(want, read)
		if err != nil {
			return false, err
		}
		op = otherwise(false)
		if free {
			op = clientv3.OpTxn(append(grant.If, absent(e.line.tail())), grant.Then, []clientv3.Op{op})
		} else if held != nil {
			return false, held(read)
		}
	}
}

// foresee is how the place is taken by somebody who has read that nobody stands in line.
func (e *Entry) foresee(want Want, read *ran) (grant Grant, free bool, err error) {
	if grant, free, err = want.Plan(e.line.view(read.rev, read.gets[e.line.prefix+places]), e.grantee()); err != nil {
		return grant, false, retry.Settled(err)
	}
	return grant, free && len(read.gets[e.line.tail()]) == 0, nil
}

// Read is what the Txn that let it in has read of the place called name, if that was asked for; nil if nothing.
func (e *Entry) Read(name string) *mvccpb.KeyValue {
	if kvs := e.read[PlaceKey(e.line.prefix, name)]; len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}
