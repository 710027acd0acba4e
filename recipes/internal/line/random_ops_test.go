package line

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// operation is something that a step can be. do reports whether it could be done.
type operation struct {
	name   string
	weight int
	do     func(*run, drawn) bool
}

const (
	nothing = "nothing"
	// What comes of operations.
	rejoin  = "  joined again after a crash"
	tryGot  = "  try-join that got the head"
	tryHeld = "  try-join that found somebody"
)

var faultNames = map[fault]string{loseAnswer: "lost answer", loseTxn: "lost request", late: "late copy"}

// operations have 63 draws in 64.
var operations = []operation{
	{"join", 16, (*run).doJoin},
	{"try-join", 5, (*run).doTry},
	{"pass on", 10, (*run).doPass},
	{"give up", 6, (*run).doGiveUp},
	{"crash", 3, (*run).doCrash},
	{"close, and a new session", 3, (*run).doClose},
	{"lost answer", 3, fails(loseAnswer)},
	{"lost request", 3, fails(loseTxn)},
	{"late copy", 4, fails(late)},
	{"late copies let through", 3, (*run).doLetThrough},
	{"removed by an operator", 3, (*run).doRemove},
	{"compaction", 2, (*run).doCompact},
	{"sweep", 2, (*run).doSweep},
}

// whatHappens is what must have happened when all is over.
var whatHappens = func() []string {
	names := []string{tryGot, tryHeld, rejoin}
	for _, do := range operations {
		names = append(names, do.name)
	}
	slices.Sort(names)
	return names
}()

// do does a step; what can't be done now is a join.
func (r *run) do(i int, d drawn) {
	if d.Do == nothing {
		return
	}
	r.say("%d. %v", i, d)
	n := slices.IndexFunc(operations, func(o operation) bool { return o.name == d.Do })
	if !operations[n].do(r, d) {
		d.Do = operations[0].name
		r.say("  not now; %s", d.Do)
		operations[0].do(r, d)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.did[d.Do]++
	r.steps++
}

// await waits for the effect of a step, if it is to.
func (r *run) await(d drawn, w *waiter, cond func() bool) {
	if d.Await && !r.until(cond) {
		r.isWrong("stuck", "%v: %v had no effect; %s", w, d, r.dump())
	}
}

func (r *run) doJoin(d drawn) bool { return r.comeTo(d, false) }
func (r *run) doTry(d drawn) bool  { return r.comeTo(d, true) }

func (r *run) comeTo(d drawn, try bool) bool {
	w := r.newWaiter(r.actors[d.Who], try)
	r.say("  %s comes", w.name)
	r.start(w)
	r.await(d, w, func() bool { return w.state >= standing })
	return true
}

// pick is one of the waiters that are fit, or nil.
func (r *run) pick(d drawn, fit func(*waiter) bool) *waiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*waiter
	for _, w := range r.waiters {
		if fit(w) {
			all = append(all, w)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[d.Which%len(all)]
}

// doPass has somebody who believes in being at the head pass on, right or wrong.
func (r *run) doPass(d drawn) bool {
	r.headComes(d)
	w := r.pick(d, func(w *waiter) bool { return w.state == heading && !w.passing })
	if w == nil {
		return false
	}
	r.tell(w)
	r.await(d, w, func() bool { return w.state == away })
	return true
}

// headComes: if somebody waits who has no reason not to get there, somebody must be at the head soon, whatever faults there are.
func (r *run) headComes(d drawn) {
	waits := func(w *waiter) bool { return w.state == standing && !w.gaveUp && !r.excused(w) }
	w := r.pick(d, waits)
	if w == nil || !d.Await && d.Which%2 == 0 {
		return
	}
	d.Await = true
	r.await(d, w, func() bool { return slices.ContainsFunc(r.waiters, r.holds) || !slices.ContainsFunc(r.waiters, waits) })
}

// tell has w pass on.
func (r *run) tell(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.passing = true
	close(w.told)
	r.saying("  %s passes on", w.name)
}

func (r *run) doGiveUp(d drawn) bool {
	w := r.pick(d, func(w *waiter) bool { return w.state < heading && !w.gaveUp })
	if w == nil {
		return false
	}
	r.mu.Lock()
	w.gaveUp = true
	r.saying("  %s gives up", w.name)
	r.mu.Unlock()
	w.cancel()
	r.await(d, w, func() bool { return w.state >= heading })
	return true
}

// doCrash ends the lease of a session, as its death does; the session goes on with another.
func (r *run) doCrash(d drawn) bool {
	if r.steady {
		return false
	}
	s := r.actors[d.Who].session
	r.mu.Lock()
	lease := s.leases[len(s.leases)-1]
	known := r.dead[lease.ID()]
	r.dead[lease.ID()] = true
	r.saying("  lease %x ends", lease.ID())
	r.mu.Unlock()
	if known {
		return false
	}
	if _, err := r.stage.control.Revoke(r.ctx, lease.ID()); err != nil {
		r.Fatal(err)
	}
	if d.Await { // otherwise it finds out by itself
		lease.Check()
	}
	r.await(d, nil, func() bool {
		return !slices.ContainsFunc(r.waiters, func(w *waiter) bool { return w.lease == lease && w.state == standing })
	})
	return true
}

func (r *run) doClose(d drawn) bool {
	if r.steady {
		return false
	}
	a := r.actors[d.Who]
	old := a.session
	r.open(a)
	closed := make(chan struct{})
	r.going.Go(func() {
		defer close(closed)
		r.closeSession(old)
	})
	if d.Await {
		<-closed
	}
	return true
}

// closeSession closes it; whoever is at the head by it isn't any more.
func (r *run) closeSession(s *session) {
	r.mu.Lock()
	s.over = true
	for _, lease := range s.leases {
		r.dead[lease.ID()] = true
	}
	r.saying("  the session of lease %x is closed", s.leases[0].ID())
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.keeper.Close(ctx); err != nil {
		r.isWrong("a session was not closed", "%v", err)
	}
}

// fails has a Txn of a party fail, the next or one of those after it.
func fails(f fault) func(*run, drawn) bool {
	return func(r *run, d drawn) bool {
		faults := r.actors[d.Who].faults
		faults.mu.Lock()
		defer faults.mu.Unlock()
		faults.next = append(append(faults.next, make([]fault, d.Which%3)...), f)
		return true
	}
}

func (r *run) doLetThrough(d drawn) bool {
	for i := range r.actors {
		a := r.actors[(d.Who+i)%parties]
		a.faults.mu.Lock()
		n := len(a.faults.held)
		a.faults.mu.Unlock()
		if n > 0 {
			r.say("  %d of %s", n, a.name)
			a.faults.letThrough()
			return true
		}
	}
	return false
}

// doRemove has an operator take a waiter out of the line.
func (r *run) doRemove(d drawn) bool {
	w := r.pick(d, func(w *waiter) bool { return w.state == standing && !r.excused(w) })
	if w == nil {
		return false
	}
	r.mu.Lock()
	w.removed = true
	key := keep.Key{Name: r.prefix + "e/" + w.id, Rev: w.rev}
	r.saying("  %s is removed", w.name)
	r.mu.Unlock()
	put := clientv3.OpPut(key.Name, encode(mark{State: removed}), clientv3.WithIgnoreLease())
	resp, err := r.stage.control.Txn(r.ctx).If(key.Is()).Then(put).Commit()
	if err != nil {
		r.Fatal(err)
	}
	if !resp.Succeeded {
		r.mu.Lock()
		w.removed = false // it was away already
		r.mu.Unlock()
		return false
	}
	r.await(d, w, func() bool { return w.state != standing })
	return true
}

// doCompact has etcd forget the history up to now.
func (r *run) doCompact(drawn) bool {
	resp, err := r.stage.control.Get(r.ctx, r.prefix)
	if err == nil {
		_, err = r.stage.control.Compact(r.ctx, resp.Header.Revision)
	}
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) { // by another worker
		r.Fatal(err)
	}
	return true
}

func (r *run) doSweep(drawn) bool {
	r.sweep()
	return true
}

// sweep sweeps, whether the line looks empty or not: that is for the sweep to see.
func (r *run) sweep() {
	resp, err := r.stage.control.Get(context.Background(), r.prefix+"tail")
	if err == nil && len(resp.Kvs) > 0 {
		err = Sweep(context.Background(), r.stage.control, DeadTail{r.prefix, resp.Kvs[0].ModRevision})
	}
	if err != nil {
		r.Fatal(err)
	}
}

// keys are all keys of the line, as etcd has them.
func (r *run) keys() (names []string) {
	resp, err := r.stage.control.Get(context.Background(), r.prefix, clientv3.WithPrefix())
	if err != nil {
		r.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), r.prefix))
	}
	return names
}

// dump is who is in line, for the reader of a failure.
func (r *run) dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "keys %q; waiters:", r.keys())
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiters {
		if w.state != away {
			fmt.Fprintf(&b, " %v", w)
		}
	}
	return b.String()
}
