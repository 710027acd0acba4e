package line

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// Where a waiter is.
const (
	coming   = iota // has no entry that it knows of
	standing        // waits
	heading         // believes that it is at the head
	away
)

// waiter is a goroutine of a session that wants to get to the head, and then stays there until it is told to pass on. When its lease
// ends while it waits it stands in line again with the next one.
type waiter struct {
	run     *run
	name    string
	try     bool
	session *session
	cancel  context.CancelFunc
	told    chan struct{} // closed when it is to pass on
	ctx     context.Context

	// Guarded by the run's mu.
	state   int
	lease   *keep.Lease
	id      string // of the entry, and its token
	rev     int64
	gaveUp  bool
	removed bool
	passing bool
	passed  bool // it was told that it has passed on, and no answer to that was lost
}

func (w *waiter) String() string {
	return fmt.Sprintf("%s (%s, %s, rev %d)", w.name, [...]string{"coming", "standing", "heading", "away"}[w.state], short(w.id), w.rev)
}

// newWaiter is one more of a's.
func (r *run) newWaiter(a *actor, try bool) *waiter {
	a.joined++
	w := &waiter{run: r, name: fmt.Sprintf("%s%d", a.name, a.joined), try: try, session: a.session, told: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(r.ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiters = append(r.waiters, w)
	return w
}

func (r *run) start(w *waiter) {
	r.going.Go(func() {
		defer w.cancel()
		e, err := w.acquire()
		for errors.Is(err, keep.ErrLost) && r.rejoins(w) {
			e, err = w.acquire()
		}
		if err == nil {
			r.heads(w)
			<-w.told
			err = w.pass(e)
		}
		r.leaves(w, e, err)
	})
}

// acquire is one attempt to get to the head, as a lock makes it.
func (w *waiter) acquire() (*Entry, error) {
	s := w.session
	end, err := s.keeper.Begin()
	if err != nil {
		return nil, err
	}
	defer end()
	lease, err := s.keeper.Lease(w.ctx)
	if err != nil {
		return nil, err
	}
	w.run.comes(w, lease)
	ctx, stop := s.keeper.Bound(w.ctx, lease)
	defer stop()
	if w.try {
		e, err := s.line.TryJoin(ctx, lease, Details{})
		if err == nil {
			w.run.stands(w, e)
		}
		return e, err
	}
	e, err := s.line.Join(ctx, lease, Details{})
	if err != nil {
		return nil, err
	}
	w.run.stands(w, e)
	if err := e.Wait(ctx); err != nil {
		e.Abandon()
		return nil, err
	}
	return e, nil
}

func (w *waiter) pass(e *Entry) error {
	ctx, stop := w.session.keeper.Cleanup(w.run.ctx)
	defer stop()
	return e.Pass(ctx)
}

func (r *run) comes(w *waiter, lease *keep.Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.state, w.lease, w.removed = coming, lease, false
	if s := w.session; s.leases[len(s.leases)-1] != lease {
		s.leases = append(s.leases, lease)
		if s.over {
			r.dead[lease.ID()] = true
		}
		r.saying("    %s has a new lease, %x", w.name, lease.ID())
	}
}

func (r *run) stands(w *waiter, e *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.state, w.id, w.rev = standing, e.id, e.rev
	how := "behind " + short(e.pred)
	switch {
	case e.head:
		how = "at the head"
	case e.pred == "":
		how = "behind whom it doesn't know"
	}
	r.saying("    %s is in line as %s, token %d, %s", w.name, short(e.id), e.rev, how)
}

// rejoins reports whether w may have lost its lease.
func (r *run) rejoins(w *waiter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead[w.lease.ID()] {
		return false
	}
	w.state = coming
	r.did[rejoin]++
	r.saying("    %s has lost its lease and joins again", w.name)
	return true
}

// excused reports whether the test has done something to w's entry.
func (r *run) excused(w *waiter) bool {
	return w.removed || w.session.over || r.dead[w.lease.ID()]
}

// holds reports whether w is rightly at the head, if anybody is.
func (r *run) holds(w *waiter) bool {
	return w.state == heading && !w.passing && !r.excused(w)
}

// heads: w believes that it is at the head.
func (r *run) heads(w *waiter) {
	r.mu.Lock()
	w.state = heading
	r.saying("    %s is at the head", w.name)
	for _, o := range r.waiters {
		if o != w && r.holds(o) && r.holds(w) {
			r.wrong("two heads", "%v and %v", o, w)
		}
	}
	if r.holds(w) {
		if w.rev <= r.token {
			r.wrong("tokens don't rise", "%v after token %d", w, r.token)
		}
		r.token = max(r.token, w.rev)
	}
	r.mu.Unlock()
	r.noneInFront(w)
}

// noneInFront asks etcd whether w has overtaken.
func (r *run) noneInFront(w *waiter) {
	resp, err := r.stage.control.Get(r.ctx, r.prefix+"e/", clientv3.WithPrefix(), clientv3.WithMaxCreateRev(w.rev-1), clientv3.WithKeysOnly())
	if err != nil {
		r.isWrong("the test is broken", "%v", err)
		return
	}
	for _, kv := range resp.Kvs {
		if live(kv) {
			r.isWrong("overtaken", "%v is at the head while %s, rev %d, is in line", w, kv.Key, kv.CreateRevision)
		}
	}
}

// leaves: w is through, for a reason that the test knows of.
func (r *run) leaves(w *waiter, e *Entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.passed = err == nil && !e.asked
	r.saying("    %s leaves: %v", w.name, err)
	ok := err == nil
	switch {
	case ok:
	case w.state == heading:
		ok = r.excused(w)
	case errors.Is(err, ErrHeld):
		ok = w.try
		r.did[tryHeld]++
	case errors.Is(err, ErrRemoved):
		ok = w.removed
	case errors.Is(err, keep.ErrClosed):
		ok = w.session.over
	case errors.Is(err, context.Canceled):
		ok = w.gaveUp
	}
	if ok && err == nil && w.try {
		r.did[tryGot]++
	}
	if !ok {
		r.wrong("a waiter failed", "%v: %v", w, err)
	}
	w.state = away
}
