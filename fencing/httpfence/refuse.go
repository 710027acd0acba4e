package httpfence

import (
	"errors"
	"net/http"

	"github.com/stile-dev/stile/fencing"
)

// Refuse answers the request of a handler behind a Guard as the guard would have: for the second
// check, which the handler makes in the same step as its write. It does so if err Is
// fencing.ErrStale or fencing.ErrShared, and reports whether it did. Any other err it leaves to
// the caller, and writes nothing: a claim that is missing behind a guard is the handler's own
// mistake, and of a failure only the handler knows what was done.
//
// The write must not have been done: the client takes the answer for the promise of that.
func Refuse(w http.ResponseWriter, r *http.Request, err error) bool {
	if !errors.Is(err, fencing.ErrStale) && !errors.Is(err, fencing.ErrShared) {
		return false
	}
	problemOf(err, about(r)).write(w)
	return true
}

// about is the resource of the claim that a Guard has put into r's context, "" if there is none.
func about(r *http.Request) string {
	claims := fencing.Claims(r.Context())
	if len(claims) != 1 {
		return ""
	}
	return claims[0].Resource
}
