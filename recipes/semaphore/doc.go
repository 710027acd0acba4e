// Package semaphore gives out permits, as many as a limit says that stands in etcd: how many may upload at once, restart at once, use the licence.
//
//	err := semaphore.SetLimit(ctx, client, "uploads", 4) // once, for all; again whenever it is to be another
//	…
//	err = semaphore.Do(ctx, s, "uploads", 1, func(ctx context.Context) error {
//		return upload(ctx)
//	})
//
// Do is the form to begin with: what package lock says of Do holds for it. Acquire hands permits out, several at once if need be.
//
// # The limit
//
// It belongs to the semaphore, not to those who acquire: SetLimit sets it, at any time. Raising it lets in at once who waits. Lowering it evicts
// nobody; nobody is let in until enough have come back. 0 closes the semaphore. Whoever counts on one limit says so (Expect).
//
// # Order
//
// Nobody overtakes. Who asks for many gets them all at once, in its turn; meanwhile those behind it wait, though what is free might do for them.
//
// # Slots
//
// Permits are numbered from 0: each is a slot, and the lowest that is free is given first. A slot is a fencing resource of its own
// (semaphore/uploads#3), whose tokens rise from holder to holder. Permits as such have no order among themselves, so no resource could tell by one token
// for all of them who is late: share the resource out by slots, and have each share compare its own tokens.
//
// # What is promised
//
// S1: at no revision of etcd's are more permits held than the limit allowed when the last of them was granted. With Spread: nor more by sessions
// with one value of the label than it allowed then. When a holder dies its permits are free after its TTL.
//
// # What it costs
//
// One permit, nobody in line: 1 transaction, and 1 to release. (It asks for one slot after the other, within one transaction: as many as it knows there to be, 56
// at the most. If those are taken and there are more, or if p/look is there, it takes 2.) Several permits: 2 transactions. One who waits
// joins with 1 transaction, opens
// 2 watches and reads once; next in line it watches the permits, reads once, and takes them by 1 transaction. A grant wakes one waiter, however many there are.
// A release is 1 transaction, of however many permits.
//
// Acquiring with a context that holds permits of the same semaphore is ErrWouldDeadlock: two who hold one each and wait for a second would wait for ever.
//
// # Durable semaphores
//
// A permit goes with its holder's session. For holders that must outlive their process, as machines do that reboot, there is [Durable]: its holders are
// named, and hold until they are released. A name is the one or the other.
//
// docs/layout.md specifies the keys.
package semaphore
