// Package httpfence carries fencing tokens over HTTP: a client that sends the claim of its hold
// with each request, and a guard before a service's handlers that refuses those who have been
// replaced.
//
//	client := &http.Client{Transport: httpfence.Transport(nil)}
//	req, err := http.NewRequestWithContext(held.Context(), http.MethodPut, url, body)
//	...
//	resp, err := client.Do(req)
//	if err != nil {
//		return err // fencing.ErrNoClaim: held.Context() was forgotten, and nothing was sent
//	}
//	defer resp.Body.Close()
//	if err := httpfence.Error(resp); err != nil {
//		return err // fencing.ErrStale: somebody else has the hold by now
//	}
//
//	guard := httpfence.Guard(gate, func(r *http.Request) string { return "lock/accounts/" + r.PathValue("id") })
//	mux.Handle("PUT /accounts/{id}", guard(putAccount))
//
// # The field
//
// The claim is one field, an Item of RFC 9651 (structured field values):
//
//	Fencing-Token: "48213";resource="lock/reports/nightly";mode=exclusive
//	Fencing-Token: "2:48213.7";resource=%"rwlock/caf%c3%a9";mode=shared
//
//	field    = token ";resource=" name ";mode=" mode
//	token    = sf-string            ; fencing.Token.String, never "0"
//	name     = sf-string            ; if all of it is printable ASCII, " to ~
//	         / sf-displaystring     ; otherwise: UTF-8, escaped as in %c3%a9
//	mode     = "exclusive" / "shared"
//
// It is one line of at most 4096 bytes, in the canonical form that RFC 9651 serialises, with both
// parameters and no others, in this order. A guard reads nothing else: who presents an order must
// not be half understood. A resource that is not UTF-8 has no such field, and is not sent.
//
// # Two steps
//
// The guard's check and the handler's write are two steps, and a larger token may be admitted
// between them. The check alone keeps out whoever has been replaced for longer than a request
// takes, and spares the handler. What keeps out the others is a check in the same transaction as
// the write: the guard puts the claim into the request's context, so that any guard that takes a
// context finds it there, and [Refuse] tells the client the same. examples/fencedhttp does both. So does a claim that travels on: a
// handler's own client with this Transport sends it to the next service.
//
// # Seal first
//
// A new holder presents its token before it reads what it will build on (see package fencing). A
// service offers that as a request of its own, told by [Seals].
//
// # What the token is not
//
// A token is neither a secret nor a proof. It says in which order somebody came, not who they
// are, so it is sent over plain HTTP as over TLS. A service authenticates its clients as it
// would without; whoever it lets through can present any token, and with a very large one shut
// everybody else out for good. So authentication and authorisation come before the guard. For
// the same reason the client sends no claim to where a redirect leads it, if that is another host.
//
// The order is not protected by a cache either: a cache that answers a reader in the service's place
// asks no gate. Each answer of a guard varies by the field, and refusals are not to be stored.
package httpfence
