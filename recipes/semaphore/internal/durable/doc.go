// Package durable is the machinery of durable semaphores: one record in etcd, without a lease, that is changed by compare on its mod revision.
//
// # Invariants
//
//   - Every write but the first compares that the record is what it was made from; the first compares that there is none. The record is never
//     deleted. So of all attempts and late copies at most one is applied, and none once somebody else has written.
//   - An answer that is no write comes from a read during the call, never from memory.
//   - A write grants nothing that it ends as well: a slot never has two holders with one token.
//   - What a request remembers of the records that it was shown (Remove: which permit; SetLimit: what it was to come after) is no older than the call.
//
// # A request
//
//	pending → judged by a state that was seen → flying (a write with it is on its way) → answered
//	                    ↑                          │ conflict: not applied, judged again by what is there
//	                    └──────────────────────────┤ no answer: lost at that revision; judged again, and known not to be applied
//	                                               │           once the record is another one and does not show it
//
// Who leaves while a write is flying, or lost, does not know its outcome. Who leaves otherwise has changed nothing.
package durable
