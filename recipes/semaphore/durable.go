package semaphore

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/keys"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/semaphore/internal/durable"
	"github.com/stile-dev/stile/recipes/semaphore/internal/slots"
)

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
// A call but Release returns at most 250 ms after its ctx has ended, and all but Acquire and Watch after 5 s in any case; the error Is session.ErrUnavailable if etcd
// gave no answer in time, and nothing was changed. If others were faster at each attempt for as long, the error says that instead. If a
// write was sent whose answer did not come, the error Is session.ErrUnknownOutcome instead, and the
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
	err  error // of Durable's arguments: every call returns it
	do   *durable.Semaphore
}

// Durable is the durable semaphore of that name. It sends nothing. What is wrong with its arguments, every call returns.
//
// A semaphore is durable or leased (Acquire), and not both: the one whose SetLimit came first.
func Durable(client *clientv3.Client, name string, opts ...ClientOption) *DurableSemaphore {
	r := calls.Reading{Root: keys.DefaultRoot}
	reading, err := lookers(opts)
	for _, opt := range reading {
		opt(&r)
	}
	d := &DurableSemaphore{name: name}
	switch err := errors.Join(err, keys.CheckName(name), keys.CheckRoot(r.Root)); {
	case err != nil:
		d.err = fmt.Errorf("semaphore: %w", err)
	case client == nil || client.KV == nil || client.Watcher == nil:
		d.err = fmt.Errorf("semaphore %q: the etcd client is nil, or not connected to anything", name)
	}
	prefix := keys.Prefix(r.Root, kind, name)
	d.do = durable.New(client, durable.Names{Key: prefix + slots.DurableKey, Leased: line.PlaceKey(prefix, slots.LimitName), ErrNoLimit: ErrNoLimit, ErrLeased: ErrLeased})
	return d
}

// begin refuses what can be refused without a request: what is wrong with the semaphore, with ctx, and with the call (bad), in this order.
func (d *DurableSemaphore) begin(ctx context.Context, act string, bad ...error) error {
	switch {
	case d == nil:
		return errors.New("semaphore: it is nil: make one with semaphore.Durable")
	case d.err != nil:
		return d.err
	case d.do == nil:
		return errors.New("semaphore: it is empty: make one with semaphore.Durable")
	case ctx == nil:
		bad = []error{errors.New("the context is nil")}
	case ctx.Err() != nil:
		bad = []error{retry.Why(ctx)}
	}
	return d.wrap(act, errors.Join(bad...))
}

// wrap names the act and the semaphore.
func (d *DurableSemaphore) wrap(act string, err error) error {
	if full, ok := errors.AsType[*durable.FullError](err); ok {
		return &DurableFullError{Name: d.name, Limit: full.Limit, Held: full.Held, Label: full.Label, Value: full.Value}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("semaphore %q: %s: %w", d.name, act, err)
}

// ask makes one call that doesn't wait for others.
func (d *DurableSemaphore) ask(ctx context.Context, act string, r *durable.Request) (*durable.Seen, error) {
	ctx, cancel := calls.Limit(ctx)
	defer cancel()
	now, err := d.do.Ask(ctx, r)
	return now, d.wrap(act, err)
}
