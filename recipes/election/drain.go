package election

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/internal/retry"
	"github.com/stile-dev/stile/recipes/session"
)

// Drain takes this session out of every election, as a process does before it is replaced: whoever campaigns gets ErrDrained, at once and from now on;
// every term ends, with the cause ErrDrained, and leadership goes to the next candidate (of those in Run: when the work has returned). It returns
// when this session leads nothing. The session's other holds stay; there is no way back but another session.
//
// If ctx ends before, the error says how many go on: they end when their work returns, and when etcd has
// taken what the session gives back in the background. Don't call it from the work of Run, which it waits for.
func Drain(ctx context.Context, s *session.Session) error {
	k, err := session.Keeper(s)
	switch {
	case err != nil:
		return fmt.Errorf("%s: drain: %w", kind, err)
	case ctx == nil:
		return fmt.Errorf("%s: drain: the context is nil", kind)
	}
	all := stands(k).end()
	errs := make([]error, len(all))
	var ending sync.WaitGroup
	for i, st := range all {
		ending.Go(func() { errs[i] = st.end(ctx) })
	}
	ending.Wait()
	left := 0
	for _, st := range all {
		select {
		case <-st.left:
			continue
		default:
		}
		select {
		case <-st.left:
		case <-ctx.Done():
			left++
		}
	}
	if left > 0 {
		errs = append(errs, fmt.Errorf("%d of %d elections go on until their work returns, or etcd takes back what they give: %w", left, len(all), retry.Why(ctx)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: drain: %w", kind, err)
	}
	return nil
}

// standing is all that a session has to do with elections.
type standing struct {
	mu      sync.Mutex
	drained chan struct{} // closed by Drain
	all     map[*stand]struct{}
}

type standingKey struct{}

func stands(k *keep.Keeper) *standing {
	made := &standing{drained: make(chan struct{}), all: map[*stand]struct{}{}}
	s, _ := k.With(standingKey{}, made).(*standing) // nothing else is kept under that key
	return s
}

// end lets nobody in any more, and returns who is.
func (s *standing) end() (all []*stand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over() {
		close(s.drained)
	}
	for st := range s.all {
		all = append(all, st)
	}
	return all
}

func (s *standing) over() bool {
	select {
	case <-s.drained:
		return true
	default:
		return false
	}
}

// A stand is one candidacy, and the term that comes of it.
type stand struct {
	of     *standing
	cancel context.CancelCauseFunc // ends the campaign
	term   *Term                   // nil as long as it isn't won
	left   chan struct{}           // closed when it is over
	leave  func()
}

// enter begins a campaign, which is ended by cancel.
func enter(k *keep.Keeper, cancel context.CancelCauseFunc) (*stand, error) {
	s := stands(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return nil, ErrDrained
	}
	st := &stand{of: s, cancel: cancel, left: make(chan struct{})}
	st.leave = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, st)
		close(st.left)
	})
	s.all[st] = struct{}{}
	return st, nil
}

// lead says that the campaign was won. It fails if the session was drained meanwhile.
func (st *stand) lead(t *Term) error {
	st.of.mu.Lock()
	defer st.of.mu.Unlock()
	if st.of.over() {
		return ErrDrained
	}
	st.term = t
	if t.run == nil { // one that is lost may never be resigned
		context.AfterFunc(t.Context(), t.leaves)
	}
	return nil
}

// leaves has the stand left as soon as the term, which has ended, is nobody's: it was lost, it was given back (give does it), or its lease has ended.
func (t *Term) leaves() {
	why := context.Cause(t.Context())
	if _, asked := errors.AsType[*session.RevokedError](why); errors.Is(why, session.ErrLost) && !asked {
		t.stand.leave()
		return
	}
	select {
	case <-t.stand.left:
		return
	default:
	}
	waits := t.keeper.Go(t.lease, func(ctx context.Context) {
		select {
		case <-t.stand.left:
		case <-ctx.Done():
			t.stand.leave()
		}
	})
	if !waits {
		t.stand.leave()
	}
}

// end ends the campaign, or the term.
func (st *stand) end(ctx context.Context) error {
	st.cancel(ErrDrained)
	st.of.mu.Lock()
	t := st.term
	st.of.mu.Unlock()
	if t == nil {
		return nil
	}
	session.End(t.Hold, ErrDrained)
	if err := t.Resign(ctx); err != nil && !errors.Is(err, session.ErrLost) {
		return err
	}
	return nil
}
