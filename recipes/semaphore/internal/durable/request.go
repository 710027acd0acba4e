package durable

import (
	"fmt"
	"maps"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/session"
)

// A Request is one change that a caller wants, or one look. It is asked once.
type Request struct {
	// change makes the change in a copy of the record, or says why not. With changed and an error, the record is written and the caller
	// gets the error. It may be called many times, with one record after the other. lost says that a write with the change was sent,
	// that its answer never came, and that it was applied by now or never will be.
	change func(r *Record, lost bool) (changed bool, err error)
	frees  bool // it goes before those that are sent with it and want what is free
	limits bool // it sets the limit: there may be no record yet, and there must be no leased semaphore
	fresh  bool // change remembers what it has seen, so that must not be older than the call

	Own

	// Of the combiner that it was given to, under its mutex.
	done   chan struct{}
	result *Seen // what the answer is about
	err    error
	flying bool   // a write with it is on its way
	rivals bool   // the last answer to a write with it was that somebody else has changed the record
	lostAt *int64 // the revision that a write was based on whose answer never came, unless it is known that it was not applied
}

// Own are a caller's own conditions and operations. A request with any goes alone.
type Own struct {
	Cmps []clientv3.Cmp
	Ops  []clientv3.Op
}

// Look changes nothing.
func Look() *Request {
	return &Request{change: func(*Record, bool) (bool, error) { return false, nil }}
}

// Find looks for the permit of id.
func Find(id string) *Request {
	return &Request{change: func(r *Record, _ bool) (bool, error) {
		if r.Holder(id) == nil {
			return false, fmt.Errorf("%q: %w", id, ErrNotHeld)
		}
		return false, nil
	}}
}

// Acquire gives id a permit, unless it has one.
func Acquire(id string, labels map[string]string, own Own) *Request {
	return &Request{Own: own, change: func(r *Record, _ bool) (bool, error) { return r.grant(id, labels) }}
}

// Release ends the permit of id with that token.
func Release(id string, token fencing.Token, own Own) *Request {
	held := false // it was seen
	return &Request{frees: true, Own: own, change: func(r *Record, _ bool) (bool, error) {
		if r.end(id, token, false, "") {
			held = true
			return true, nil
		}
		switch e := r.ended(id, token); {
		case e != nil && e.Removed:
			return false, fmt.Errorf("%q: %w: it was removed: %s", id, session.ErrLost, e.Reason)
		case e == nil && !held:
			return false, fmt.Errorf("%q with token %v: %w", id, token, ErrNotHeld)
		}
		return false, nil
	}}
}

// Remove ends the permit of id. If there is none it has the record written nevertheless, so that what was sent before is void.
func Remove(id, reason string, own Own) *Request {
	var token fencing.Token // of the permit that was seen first: the call is about no other
	return &Request{frees: true, fresh: true, Own: own, change: func(r *Record, _ bool) (bool, error) {
		if h := r.Holder(id); h != nil && token.IsZero() {
			token = h.Token
		}
		switch {
		case token.IsZero():
			return true, fmt.Errorf("%q: %w", id, ErrNotHeld)
		case r.end(id, token, true, reason):
			return true, nil
		}
		return false, nil // it was removed, or released, since it was seen
	}}
}

// SetLimit sets the limit and those of groups. It has the record written in any case, as Remove does.
func SetLimit(limit int, groups map[string]int, own Own) *Request {
	id, groups := uuid.NewString(), maps.Clone(groups)
	over := ""    // which SetLimit it was to come after, when it was sent last
	past := false // another one came after it, or in its place
	return &Request{limits: true, fresh: true, Own: own, change: func(r *Record, lost bool) (bool, error) {
		switch {
		case r.Set == id:
			return false, nil
		case past || lost && r.Set != over:
			past = true
			if len(own.Ops) > 0 {
				return false, fmt.Errorf("%w: somebody else has set it since, and whether your operations were done is not known", session.ErrUnknownOutcome)
			}
			return false, nil // as if it had come right before the other one
		}
		over = r.Set
		r.Limit, r.Groups, r.Set = limit, groups, id
		return true, nil
	}}
}
