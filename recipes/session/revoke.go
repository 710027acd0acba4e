package session

import (
	"context"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// A Revocation is an operator's wish that a holder end, or that a waiter leave: Act ("revoke", "force" or "remove"), Reason, By (who asked), At
// (when, by that one's wall clock), Grace, and the ID, Host and PID of whom it is about.
type Revocation = keep.Revocation

// RevokedError says that a hold has ended because somebody asked for it: it embeds the Revocation. It Is ErrLost. An acquisition that was taken
// out of the line returns one as well; that one Is ErrRemoved of its recipe, and not ErrLost.
type RevokedError = keep.RevokedError

// ErrMaxHold is why a hold has ended that has lasted as long as its MaxHold allows. It Is ErrLost.
var ErrMaxHold = keep.ErrMaxHold

// Revoking is closed when somebody has asked for this hold (Revoke of its recipe). Who finishes and releases within the grace leaves in order; at its end
// the hold's context ends with a *RevokedError, and the hold is given back (in the Do forms: when the work has returned).
//
// A hold listens from a quarter of a second on, and hears within a second: the grace counts from then.
func (h *Hold) Revoking() <-chan struct{} { return h.hold.Revoking() }

// Revocation is what was asked, nil if nothing was.
func (h *Hold) Revocation() *Revocation { return h.hold.Revocation() }

// Revoking is for work in the Do forms: that of the hold that ctx comes from (of the innermost, if there are several); nil if it comes from none.
//
//	select {
//	case job := <-jobs:
//		err = do(ctx, job)
//	case <-session.Revoking(ctx):
//		return nil // between two jobs: a good moment to let somebody else in
//	case <-ctx.Done():
//		return context.Cause(ctx)
//	}
func Revoking(ctx context.Context) <-chan struct{} { return keep.RevokingIn(ctx) }
