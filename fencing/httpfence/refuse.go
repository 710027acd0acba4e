package httpfence

import (
	"errors"
	"net/http"

	"github.com/stile-dev/stile/fencing"
)

// Refuse answers the request of a handler behind a Guard as the guard would have: for the second
// check, which the handler makes in the same step as its write. It does so if err refuses the claim
// that the request presented, with a *fencing.StaleError or fencing.ErrShared, and reports
// whether it did. Any other err it leaves to the caller, and writes nothing: a claim that is missing
// behind a guard is the handler's own mistake, and of a failure only the handler knows what was done.
//
// The write must not have been done: the client takes the answer for the promise of that.
func Refuse(w http.ResponseWriter, r *http.Request, err error) bool {
	claim, missing := fencing.FromContext(r.Context())
	if missing != nil || !concerns(err, claim) {
		return false
	}
	problemOf(err, claim.Resource).write(w)
	return true
}

// concerns reports whether err refuses c, and not a claim that the handler has from elsewhere.
func concerns(err error, c fencing.Claim) bool {
	stale, ok := errors.AsType[*fencing.StaleError](err)
	return ok && stale.Resource == c.Resource || errors.Is(err, fencing.ErrShared) && c.Mode == fencing.Shared
}
