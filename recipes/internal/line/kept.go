package line

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// Terms are what somebody wants who acquires a lock.
type Terms struct {
	Delay   time.Duration   // for which the lock is kept after a hold that was lost; 0: not at all
	MinHold time.Duration   // for which it is kept at least; 0: not at all
	Tell    func(ahead int) // is told how many stand in front; may be nil
}

// On is the line for acquisitions on terms. It is for lines without places.
func (ln *Line) On(t Terms) *Line {
	on := *ln
	on.terms = t
	return &on
}

// kept is the part of a prefix where it stands that the lock is kept after its holder; the names are always the same two.
const (
	kept      = "d/"
	keptDelay = kept + "delay" // after a hold that was lost
	keptMin   = kept + "min"   // in any case
)

// keptValue says after whom the lock is kept.
type keptValue struct {
	ID string `json:"id"` // of the acquisition
	Details
	For keep.Seconds `json:"for_s"`
}

func (ln *Line) getKept() clientv3.Op { return clientv3.OpGet(ln.prefix+kept, clientv3.WithPrefix()) }

// unkept compares that the lock is not kept.
func (ln *Line) unkept() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(ln.prefix+kept), "=", 0).WithPrefix()
}

// free waits, with nobody alive in front, until the lock isn't kept after a former holder. Then the entry is at the head.
func (e *Entry) free(ctx context.Context) error {
	k := e.line.keeper
	if err := e.watchOwn(ctx); err != nil {
		return err
	}
	w, err := k.Watch(ctx, e.line.prefix+kept, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	defer w.Close()
	again := k.Reread(e.key())
	defer again.Stop()
	for {
		// Both watches are open: what this read doesn't see comes as an event.
		if _, err := e.lookKept(ctx); err != nil || e.head {
			return err
		}
		if err := e.keptNews(ctx, w, again); err != nil {
			return err
		}
	}
}

// keptNews waits until there is a reason to look again.
func (e *Entry) keptNews(ctx context.Context, w *keep.Watch, again *keep.Reread) error {
	for {
		select {
		case resp, ok := <-w.C:
			if !ok || resp.Err() != nil {
				return errLookAgain
			}
			return nil
		case resp, ok := <-e.own.C:
			if err := e.heardOwn(ctx, resp, ok); err != nil {
				return err
			}
		case revs := <-e.counted():
			e.tell(revs)
		case <-again.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("kept after a former holder: %w", context.Cause(ctx))
		}
	}
}

// lookKept reads whether the lock is kept, and the own entry. If it isn't, and that is as it was written, the entry is at the head: nobody else can
// have the lock kept from now on.
func (e *Entry) lookKept(ctx context.Context) (by *mvccpb.KeyValue, err error) {
	resp, err := e.line.keeper.Txn(ctx, nil, []clientv3.Op{clientv3.OpGet(e.key()), e.line.getKept()}, nil)
	if err != nil {
		return nil, err
	}
	if own := one(resp, 0); own == nil || own.ModRevision != e.rev {
		return nil, e.out(ctx, own)
	}
	by = one(resp, 1)
	e.head, e.front = by == nil, by != nil
	return by, nil
}

// arming is what a holder has written, or may have, so that the lock is kept after it.
type arming struct {
	on      *keep.Outliving    // for the delay, or nil
	value   string             // of keptDelay
	written [2]int64           // when keptDelay and keptMin were written, as far as is known
	spare   []clientv3.LeaseID // granted for keptMin, by attempts before the last
	last    clientv3.LeaseID   // granted by the last one
}

// errKept says that the lock is kept after somebody else.
var errKept = retry.Permanent(errors.New("kept after a former holder"))

// arm has the lock kept after this entry, which is at the head, as its terms say. With neither it does nothing.
func (e *Entry) arm(ctx context.Context) error {
	if e.line.terms.Delay == 0 && e.line.terms.MinHold == 0 {
		return nil
	}
	if e.armed == nil {
		e.armed = &arming{}
	}
	err := retry.Until(ctx, func(ctx context.Context) error {
		puts, err := e.keeping(ctx)
		if err != nil {
			return err
		}
		resp, err := e.line.keeper.Txn(ctx, e.asArmed(), puts, []clientv3.Op{clientv3.OpGet(e.key()), e.line.getKept()})
		if errors.Is(err, rpctypes.ErrLeaseNotFound) && e.armed.on != nil {
			if err := e.armed.on.Check(ctx); err != nil {
				return err
			}
			e.disarmed()
			return fmt.Errorf("a lease for the delay or the shortest hold has ended: %w", errLookAgain)
		}
		if err != nil || resp.Succeeded {
			return err
		}
		return e.unarmed(ctx, resp)
	})
	e.endSpare(err != nil)
	return err
}

// endSpare has etcd end, in the background, the leases for the shortest hold on which nothing is to stand, or all of them. A request that comes
// late and names one of them is refused.
func (e *Entry) endSpare(all bool) {
	spare := e.armed.spare
	if all && e.armed.last != 0 {
		spare = append(spare, e.armed.last)
	}
	e.armed.spare, e.armed.last = nil, 0
	for _, id := range spare {
		e.line.keeper.Finish(e.lease, "end a lease for the shortest hold", func(ctx context.Context) error { return e.line.keeper.Revoke(ctx, id) })
	}
}

// keeping writes on what leases there have to be. That of the shortest hold is a new one each time, for it runs from now on.
func (e *Entry) keeping(ctx context.Context) (puts []clientv3.Op, err error) {
	t := e.line.terms
	if t.Delay > 0 {
		if e.armed.on == nil {
			on, err := e.lease.Outliving(ctx, t.Delay)
			if err != nil {
				return nil, err
			}
			on.Enter()
			e.armed.on, e.armed.value = on, encode(keptValue{e.id, e.details, keep.Seconds(t.Delay)})
		}
		puts = append(puts, clientv3.OpPut(e.line.prefix+keptDelay, e.armed.value, clientv3.WithLease(e.armed.on.ID())))
	}
	if t.MinHold > 0 {
		id, err := e.line.keeper.GrantFor(ctx, t.MinHold)
		if err != nil {
			return nil, err
		}
		if e.armed.last != 0 {
			e.armed.spare = append(e.armed.spare, e.armed.last)
		}
		e.armed.last = id
		puts = append(puts, clientv3.OpPut(e.line.prefix+keptMin, encode(keptValue{e.id, e.details, keep.Seconds(t.MinHold)}), clientv3.WithLease(id)))
	}
	return puts, nil
}

// asArmed compares that the entry is the own one, and that nothing was written that isn't known of: a copy of this request that comes late does
// nothing.
func (e *Entry) asArmed() []clientv3.Cmp {
	return []clientv3.Cmp{e.Key().Is(), keep.Key{Name: e.line.prefix + keptDelay, Rev: e.armed.written[0]}.Is(), keep.Key{Name: e.line.prefix + keptMin, Rev: e.armed.written[1]}.Is()}
}

// unarmed takes what was found instead: what an earlier request of this entry's has written, which is written again.
func (e *Entry) unarmed(ctx context.Context, resp *clientv3.TxnResponse) error {
	if own := one(resp, 0); own == nil || own.ModRevision != e.rev {
		return e.out(ctx, own)
	}
	e.armed.written = [2]int64{}
	for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
		if readPlace(kv).ID != e.id {
			e.head, e.front = false, true
			e.disarmed()
			return errKept
		}
		if string(kv.Key) == e.line.prefix+keptMin {
			e.armed.written[1] = kv.ModRevision
		} else {
			e.armed.written[0] = kv.ModRevision
		}
	}
	return fmt.Errorf("no answer to a request that was applied: %w", errLookAgain)
}

// keepsOn is whether the lock stays kept after the entry has passed the head on.
func (e *Entry) keepsOn() bool { return e.held && e.line.terms.MinHold > 0 }

// unkeep deletes, with the entry, what it has written so that the lock is kept, unless that is for the shortest hold.
func (e *Entry) unkeep() []clientv3.Op {
	switch {
	case e.armed == nil:
		return nil
	case e.keepsOn():
		return []clientv3.Op{clientv3.OpDelete(e.line.prefix + keptDelay)}
	}
	return []clientv3.Op{clientv3.OpDelete(e.line.prefix+kept, clientv3.WithPrefix())}
}

// disarmed: nothing of the entry is on the lease for the delay, and nothing will be.
func (e *Entry) disarmed() {
	if e.armed != nil && e.armed.on != nil {
		e.armed.on.Leave()
		e.armed.on = nil
	}
}

// taken: the entry was taken, while its lease goes on. The delay runs from now on; if the session is closed before its end, or loses the lease, etcd ends it.
func (e *Entry) taken() {
	if e.armed == nil || e.armed.on == nil {
		return
	}
	on, value, key := e.armed.on, e.armed.value, e.line.prefix+keptDelay
	e.armed.on = nil
	e.line.keeper.Later(e.lease, e.line.terms.Delay, func(ctx context.Context) error {
		own := clientv3.Compare(clientv3.Value(key), "=", value)
		if _, err := e.line.keeper.Txn(ctx, []clientv3.Cmp{own}, []clientv3.Op{clientv3.OpDelete(key)}, nil); err != nil {
			return err
		}
		on.Leave()
		return nil
	})
}

// Give gives a lock back that was held. It tries until ctx ends and may be called again then, as Pass.
func (e *Entry) Give(ctx context.Context) error {
	e.held = true
	return e.Pass(ctx)
}
