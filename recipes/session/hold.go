package session

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/keep"
)

// A Hold is something held: a lock, a term, a permit. Recipes make them; each documents what Release does. It is safe for
// concurrent use.
type Hold struct {
	hold *keep.Hold
}

// Context ends with the hold, before anybody else can hold the same thing. context.Cause tells why: it Is ErrLost, ErrReleased or
// ErrClosed. It has the values of the ctx that the hold was acquired with, but not its deadline and not its end, for those
// bounded the waiting; and it carries the hold's claims for the guards in package fencing.
func (h *Hold) Context() context.Context { return h.hold.Context() }

// Err is nil while the hold is believed, and otherwise why it isn't. It reads the clock, and so is right even in a process that
// has just been stopped and resumed, where nothing has yet ended the context.
func (h *Hold) Err() error { return h.hold.Err() }

// Claims are what the hold's context carries: one, except for several things acquired at once.
func (h *Hold) Claims() []fencing.Claim { return h.hold.Claims() }

// Token is the fencing token of the first claim, larger than that of every earlier holder of the same resource.
func (h *Hold) Token() fencing.Token { return h.hold.Claims()[0].Token }

// Release ends the hold's context with ErrReleased and then gives the hold back, so that its holder stops believing in it first.
// It removes nothing but its own: a hold that was lost before gives ErrLost, and whoever holds it now is not touched.
//
// It takes 1 transaction. When ctx has ended it goes on for at most the cleanup timeout; an error that Is ErrUnknownOutcome
// leaves the rest to the session. While work goes on under the hold (Do, Run) it only ends the context: the hold is given back when the work
// has returned. Later calls wait for the first and return the same (unless their own time runs out first).
func (h *Hold) Release(ctx context.Context) error { return h.hold.Release(ctx) }

// Txn is a transaction of etcd's that commits only while this is held, decided by etcd at the instant of the commit:
//
//	resp, err := held.Txn(ctx).Then(clientv3.OpPut(key, value)).Commit()
//
// Conditions of your own (If, Else) tell by resp.Succeeded, as usual. A hold that has ended gives its cause (ErrLost, ErrReleased,
// ErrClosed), one that somebody else has ended in etcd gives ErrLost, and nothing is written. It
// is sent once, since your operations may not be safe to repeat: when the answer is lost, the error Is ErrUnknownOutcome. The
// guard takes one of the 128 operations that etcd allows.
func (h *Hold) Txn(ctx context.Context) clientv3.Txn { return h.hold.Txn(ctx) }
