package semaphore

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

const durableKind = "semaphore"

// A DurableSemaphore is a semaphore whose holders are named, and hold until they are released: through the end of their process, a reboot, and a
// restart of etcd. It is the ground for rolling reboots. Make one with [Durable]. It is safe for concurrent use and needs no closing.
//
//	d := semaphore.Durable(client, "web")
//	p, err := d.Acquire(ctx, machineID)                // before the reboot
//	p, err := d.Held(ctx, machineID)                   // after it: finds the permit, never acquires one
//	err = d.Release(ctx, machineID, p.Token)
//
// # What holding means
//
// There is no session, no lease and no loss: nobody's silence ends a permit. A machine that never comes back keeps its permit until an operator
// says so by Remove. That is meant: a permit that ends by itself lets the next machine fetch what has just broken this one.
//
// # What is promised
//
// At no revision are more permits granted than the limit in force allows, nor more with one value of a label than its group limit allows (Group). Lowering
// a limit takes nothing away: nobody gets a permit until enough of them were released.
//
// All is by the holder's id. Whoever acquires again has the permit that it has, with the same token. Whoever
// releases gives the id and the token, so that neither a repeated nor a late release touches a later permit of the same machine.
//
// A permit has the lowest slot that is free, from 0 on. Its claim is on "semaphore/<name>#<slot>", and tokens of one slot rise.
//
// No order is promised, not even within a process. Who waits watches the semaphore and tries when there is room, and somebody else may be faster. A line would
// have to know who is still alive, and those who wait have no session that could tell.
//
// # When etcd does not answer
//
// A call returns at most 250 ms after its ctx has ended, and all but Acquire and Watch after 5 s in any case; the error Is session.ErrUnavailable if etcd
// gave no answer in time, and nothing was changed. If a write was sent whose answer did not come, the error Is session.ErrUnknownOutcome instead, and the
// write may still arrive. To call again is safe, and settles it unless that call is refused (by an If, or by etcd): each write is conditional on what the
// semaphore was when it was sent, so only one of them can ever be applied. An acquisition that is to be called off for good
// needs Acquire and then Release, or Remove, whose return says that nothing sent before is granted any more; that Held finds nothing does not say so.
//
// When etcd is full it refuses every change with its own error, a release too, for each rewrites the one record; nothing is lost.
//
// # What it costs
//
// One record in etcd, at <root>/semaphore/<name>/durable, and one transaction for each change to it, however many calls of this process go together:
// those that are waiting for an answer while another is on its way are combined into one. The first call, those that change nothing, SetLimit and Remove read
// first. Calls with conditions or operations of their own (If, Then) go alone. Who waits has one watch, shared with all who wait on the same
// DurableSemaphore; use one for each name, and share it.
type DurableSemaphore struct {
	name string
	key  string
	err  error // of Durable's arguments: every call returns it

	client   *clientv3.Client
	combiner durableCombiner
	follower durableFollower
}

// Durable is the durable semaphore of that name. It sends nothing. What is wrong with its arguments, every call returns.
//
// A semaphore is durable or leased (Acquire), and not both: the one whose SetLimit came first.
func Durable(client *clientv3.Client, name string, opts ...ClientOption) *DurableSemaphore {
	d := &DurableSemaphore{name: name, client: client}
	r := calls.Reading{Root: keys.DefaultRoot}
	reading, err := lookers(opts)
	for _, opt := range reading {
		opt(&r)
	}
	switch err := errors.Join(err, keys.CheckName(name), keys.CheckRoot(r.Root)); {
	case err != nil:
		d.err = fmt.Errorf("%s: %w", durableKind, err)
	case client == nil || client.KV == nil || client.Watcher == nil:
		d.err = fmt.Errorf("%s %q: the etcd client is nil, or not connected to anything", durableKind, name)
	}
	prefix := keys.Prefix(r.Root, durableKind, name)
	d.key = prefix + "durable"
	d.combiner.store = durableStore{client: client, key: d.key, leased: prefix + "p/limit"}
	d.follower.observe = d.observe
	return d
}

// begin refuses what can be refused without a request.
func (d *DurableSemaphore) begin(ctx context.Context, act string) error {
	switch {
	case d == nil:
		return errors.New("semaphore: it is nil: make one with semaphore.Durable")
	case d.err != nil:
		return d.err
	case ctx == nil:
		return d.wrap(act, errors.New("the context is nil"))
	case ctx.Err() != nil:
		return d.wrap(act, retry.Why(ctx))
	}
	return nil
}

// refuse is for what is wrong with the call itself; what is wrong with the semaphore comes first.
func (d *DurableSemaphore) refuse(ctx context.Context, act string, err error) error {
	if first := d.begin(ctx, act); first != nil {
		return first
	}
	return d.wrap(act, err)
}

// wrap names the act and the semaphore.
func (d *DurableSemaphore) wrap(act string, err error) error {
	if err == nil {
		return nil
	}
	if full, ok := errors.AsType[*DurableFullError](err); ok {
		full.Name = d.name
		return full
	}
	return fmt.Errorf("%s %q: %s: %w", durableKind, d.name, act, err)
}

// call makes one call that doesn't wait for others.
func (d *DurableSemaphore) call(ctx context.Context, act string, r *durableRequest) error {
	if err := d.begin(ctx, act); err != nil {
		return err
	}
	ctx, cancel := calls.Limit(ctx)
	defer cancel()
	return d.wrap(act, d.combiner.ask(ctx, r))
}
