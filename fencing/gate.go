package fencing

import "context"

// Gate is the resource's side of fencing: the contract that every guard keeps.
//
// A gate remembers, for each resource, the largest exclusive and the largest shared token
// that it has admitted, as durably as the resource keeps what is written to it, and refuses
// with a *StaleError (which Is ErrStale) whoever must have lost the hold since. An equal
// token is admitted: a holder writes many times. The rule, for a claim with token t:
//
//	exclusive   refused if t is smaller than any token seen
//	shared      refused if t is smaller than the largest exclusive one seen
//
// Shared claims have no order among themselves: they hold at the same time.
//
// All three methods take the claim from the context as FromContext does, return its
// errors, and change nothing when they return one of them, ErrShared or ErrStale.
// They are safe for concurrent use.
//
// A check protects only what happens in the same atomic step: in one transaction, one
// conditional request, or under one lock with the write or the read that it is for. How
// the two are put together is the guard's own affair, and its documentation says it.
type Gate interface {
	// Check admits a write, and remembers the token. Only exclusive claims write: a shared
	// one is refused with ErrShared.
	Check(ctx context.Context) error

	// CheckRead admits a read of any claim, and remembers nothing.
	CheckRead(ctx context.Context) error

	// Seal admits a new holder of either mode, and remembers the token: call it before
	// anything else, before the first read. From its return on no write of an earlier
	// exclusive holder lands; one that was admitted before has either been done by then, or
	// never will be. A reader that does not seal may see such a write come in while it reads.
	Seal(ctx context.Context) error
}
