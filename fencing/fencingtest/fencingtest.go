// Package fencingtest tests guards: whether a fencing.Gate keeps the contract that its users rely on.
//
//	func TestGuard(t *testing.T) {
//		fencingtest.Run(t, func(tb testing.TB) fencingtest.Guard {
//			store := openStore(tb)
//			return fencingtest.Guard{
//				Gate:   newGate(store),
//				Reopen: func() fencing.Gate { return newGate(store) },
//				Write:  store.writeChecked,
//				Read:   store.read,
//			}
//		})
//	}
//
// A guard that passes compares tokens as tokens, keeps the two numbers of a resource apart, confuses no two names, lets no
// misuse through, and loses nothing to a race or a restart. What it can't show is that what the guard remembers survives a
// power failure: that is the store's.
package fencingtest

import (
	"context"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

// A Guard is a gate to be tested, on a store of its own that has seen no token, and what belongs to it.
type Guard struct {
	Gate fencing.Gate

	// Reopen returns a gate on the same store, as another process has it, or this one when it has been started again.
	// Nil: what the gate remembers ends with it, and nothing is tested of that.
	Reopen func() fencing.Gate
	// Sole says that a store has one gate at a time: one that was opened before Reopen isn't used any more.
	Sole bool

	// Write checks the claim in ctx and replaces the value that Read returns, in one atomic step. All claims that it is called
	// with are on one resource. Errors are the gate's; what the store asks to be tried again (a conflict, a deadlock) it
	// tries again. Nil: the guard has no such step, and nothing is tested of it.
	Write func(ctx context.Context, value string) error
	// Read returns the value that was written last, "" if none was. It checks nothing. It goes with Write.
	Read func(ctx context.Context) (string, error)
}

// Run tests guards, each made by newGuard: what it needs it opens, and closes by tb.Cleanup. Each property is a subtest of t.
func Run(t *testing.T, newGuard func(tb testing.TB) Guard) {
	t.Helper()
	for _, p := range properties {
		t.Run(p.name, func(t *testing.T) {
			g := newGuard(t)
			if why := p.lacks(g); why != "" {
				t.Skip(why)
			}
			p.test(t, g)
		})
	}
}

// A property is something that a guard must have.
type property struct {
	name  string
	test  func(tb testing.TB, g Guard)
	needs func(g Guard) string // what g lacks for the test; nil: nothing is needed
}

var properties = []property{
	{name: "order", test: order},
	{name: "tokens", test: tokens},
	{name: "modes", test: modes},
	{name: "names", test: names},
	{name: "failing closed", test: failsClosed},
	{name: "random", test: random},
	{name: "first use by many", test: firstUse},
	{name: "race", test: race},
	{name: "reopened", test: reopened, needs: reopening},
	{name: "two gates", test: twoGates, needs: sharing},
	{name: "write", test: write, needs: writing},
	{name: "racing writes", test: racingWrites, needs: writing},
	{name: "seal", test: sealing, needs: writing},
}

func (p property) lacks(g Guard) string {
	if p.needs == nil {
		return ""
	}
	return p.needs(g)
}

func reopening(g Guard) string {
	if g.Reopen == nil {
		return "this guard is not reopened: Guard.Reopen is nil"
	}
	return ""
}

func sharing(g Guard) string {
	if g.Sole {
		return "the store has one gate at a time: Guard.Sole"
	}
	return reopening(g)
}

func writing(g Guard) string {
	if g.Write == nil || g.Read == nil {
		return "this guard writes nothing: Guard.Write or Guard.Read is nil"
	}
	return ""
}
