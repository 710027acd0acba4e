package httpfence

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/stile-dev/stile/fencing"
)

const (
	problemJSON = "application/problem+json"
	typeBase    = "https://github.com/stile-dev/stile/fencing/httpfence#"
)

// problem is the body of a refusal: an RFC 9457 problem, with members of ours.
type problem struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail,omitempty"`
	Resource  string        `json:"resource,omitempty"`
	Seen      fencing.Token `json:"seen,omitzero"`
	Presented fencing.Token `json:"presented,omitzero"`
}

// The errors that have no sentinel in package fencing, since no claim is at fault.
var (
	errUnknown     = errors.New("nothing is guarded here by that name")
	errUnavailable = errors.New("the gate gave no answer, and nothing was done")
)

// kind is a reason to refuse, and how it is told over HTTP.
type kind struct {
	name   string
	status int
	title  string
	err    error
}

func (k kind) uri() string { return typeBase + k.name }

// kinds has the reasons in order of asking. The last one is for whatever is none of the others.
var kinds = []kind{
	{"stale", http.StatusPreconditionFailed, "Stale fencing token", fencing.ErrStale},
	{"shared", http.StatusForbidden, "A shared claim does not allow this", fencing.ErrShared},
	{"bad-claim", http.StatusBadRequest, "Not a claim", fencing.ErrBadClaim},
	{"no-claim", http.StatusPreconditionRequired, "A claim on the resource is required", fencing.ErrNoClaim},
	{"unknown", http.StatusNotFound, "Nothing is guarded here by that name", errUnknown},
	{"unavailable", http.StatusServiceUnavailable, "The gate gave no answer", errUnavailable},
}

// problemOf tells err of a request about resource. Any err that is none of the kinds is told as the
// last one, without its text.
func problemOf(err error, resource string) problem {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.problem(err, resource)
		}
	}
	return kinds[len(kinds)-1].problem(errUnavailable, resource)
}

func (k kind) problem(err error, resource string) problem {
	p := problem{Type: k.uri(), Title: k.title, Status: k.status, Detail: err.Error(), Resource: resource}
	if stale, ok := errors.AsType[*fencing.StaleError](err); ok {
		p.Detail, p.Seen, p.Presented = stale.Error(), stale.Seen, stale.Presented
	}
	return p
}

// write answers with p.
func (p problem) write(w http.ResponseWriter) {
	h := w.Header()
	if p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	h.Set("Content-Type", problemJSON)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who has hung up learns nothing
}

func kindOf(uri string) (kind, bool) {
	for _, k := range kinds {
		if k.uri() == uri {
			return k, true
		}
	}
	return kind{}, false
}
