package fencing

import "context"

// Gate is the resource's side of fencing: the contract that every guard keeps.
//
// A gate remembers the largest token that it has admitted for each resource, as
// durably as the resource keeps what is written to it, and refuses a smaller one with
// a *StaleError (which Is ErrStale). An equal token is admitted: a holder writes many
// times.
//
// All three methods take the claim from the context as FromContext does, return its
// errors, and change nothing when they return one of them, ErrShared or ErrStale.
// They are safe for concurrent use.
//
// A check protects only what happens in the same atomic step: in one transaction, one
// conditional request, or under one lock with the write or the read that it is for. How
// the two are put together is the guard's own affair, and its documentation says it.
//
// Shared claims leave no trace: readers have no order among themselves. So a late write
// of an earlier exclusive holder can still land while readers hold, until the next
// exclusive holder has sealed. A reader's own read is consistent if it is one step.
type Gate interface {
	// Check admits a write. It remembers the token, and refuses one smaller than it has
	// seen. Only exclusive claims write: a shared one is refused with ErrShared.
	Check(ctx context.Context) error

	// CheckRead admits a read. It refuses a token, exclusive or shared, that is smaller
	// than the largest exclusive one that it has seen, and remembers nothing.
	CheckRead(ctx context.Context) error

	// Seal admits a new holder: call it before anything else, before the first read.
	// From its return on, no write of an earlier holder lands. A write that was admitted
	// before it has either been done by then, or never will be. It remembers the token
	// and refuses the same claims as Check.
	Seal(ctx context.Context) error
}
