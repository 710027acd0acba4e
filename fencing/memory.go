package fencing

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var _ Gate = (*Memory)(nil)

// Memory is a Gate for resources in this process, and in tests. It forgets when the
// process ends, so use it only for a resource that ends with the process too; until then
// it remembers every resource that it was asked about. The zero Memory is ready, and safe
// for concurrent use. It must not be copied after first use.
//
// One claim a resource is looked at at a time. Who waits for that waits no longer than
// its ctx, and is looked at as it is when its turn comes; a ctx that has ended is refused
// with an error that Is ctx.Err() and context.Cause(ctx).
type Memory struct {
	mu    sync.Mutex
	cells map[string]*cell // by resource; never removed
}

type cell struct {
	turn chan struct{} // holds one value while somebody has the turn
	seen [2]Token      // the largest, by mode; guarded by Memory.mu; changed only by who has the turn
}

// against is the largest token that refuses a smaller one of mode m.
func (c *cell) against(m Mode) Token {
	if m == Exclusive && c.seen[Shared].Compare(c.seen[Exclusive]) > 0 {
		return c.seen[Shared]
	}
	return c.seen[Exclusive]
}

// Check admits a write that the caller makes later. Nothing keeps a larger token from
// being admitted in between: prefer Do.
func (m *Memory) Check(ctx context.Context) error {
	return m.Do(ctx, func() error { return nil })
}

// Seal admits a new holder. When it returns nil no write (see Do) of an earlier one is
// running, and none will run.
func (m *Memory) Seal(ctx context.Context) error {
	c, err := FromContext(ctx)
	if err != nil {
		return err
	}
	pass, err := m.admit(ctx, c)
	if err != nil {
		return err
	}
	defer pass()
	m.see(c)
	return nil
}

// Do checks as Check does and, if that admits the claim, runs write in the same step: no
// other claim on the resource is admitted while write runs. It returns write's error as
// it is; the token counts as seen also then, and also if write panics. write must not
// call m for the same resource, which waits for write.
func (m *Memory) Do(ctx context.Context, write func() error) error {
	c, err := FromContext(ctx)
	if err != nil {
		return err
	}
	if c.Mode != Exclusive {
		return fmt.Errorf("fencing %q: %w", c.Resource, ErrShared)
	}
	pass, err := m.admit(ctx, c)
	if err != nil {
		return err
	}
	defer pass()
	m.see(c)
	return write()
}

// CheckRead admits a read that the caller makes later; it waits for a write that is
// running. A reader that may not see a larger holder's write checks again after it has
// read.
func (m *Memory) CheckRead(ctx context.Context) error {
	c, err := FromContext(ctx)
	if err != nil {
		return err
	}
	pass, err := m.admit(ctx, c)
	if err != nil {
		return err
	}
	pass()
	return nil
}

// Seen returns the largest token, of either mode, that was admitted for resource by Check,
// Do or Seal: the zero Token if there was none. It waits for nobody.
func (m *Memory) Seen(resource string) Token { return m.against(resource, Exclusive) }

// against is the largest token that refuses a smaller one of mode.
func (m *Memory) against(resource string, mode Mode) Token {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.cells[resource]; at != nil {
		return at.against(mode)
	}
	return Token{}
}

// admit waits for c's turn and compares its token. It returns with the turn, and the
// function that passes it on, unless it returns an error.
func (m *Memory) admit(ctx context.Context, c Claim) (pass func(), err error) {
	at := m.cell(c.Resource)
	select {
	case at.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ended(ctx, c)
	}
	pass = func() { <-at.turn }
	if err := m.compare(ctx, c); err != nil {
		pass()
		return nil, err
	}
	return pass, nil
}

// compare is for who has the turn. The ctx and the hold may have ended before that: select
// takes a free turn even when ctx has ended.
func (m *Memory) compare(ctx context.Context, c Claim) error {
	if err := c.valid(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ended(ctx, c)
	}
	if seen := m.against(c.Resource, c.Mode); c.Token.Compare(seen) < 0 {
		return &StaleError{Resource: c.Resource, Seen: seen, Presented: c.Token}
	}
	return nil
}

func (m *Memory) see(c Claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.cells[c.Resource]
	if c.Token.Compare(at.seen[c.Mode]) > 0 {
		at.seen[c.Mode] = c.Token
	}
}

func (m *Memory) cell(resource string) *cell {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cells == nil {
		m.cells = make(map[string]*cell)
	}
	at := m.cells[resource]
	if at == nil {
		at = &cell{turn: make(chan struct{}, 1)}
		m.cells[resource] = at
	}
	return at
}

// ended is the error of a ctx that has ended. The hold's end comes first: it is the
// reason, and the ctx's own end follows from it.
func ended(ctx context.Context, c Claim) error {
	if err := c.valid(); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("fencing %q: %w: %w", c.Resource, ctx.Err(), cause)
	}
	return fmt.Errorf("fencing %q: %w", c.Resource, context.Cause(ctx))
}
