// Package slots is what stands in etcd of a semaphore on leases, and how it is written.
//
// # S1, and why it holds
//
// At no revision of etcd's are more permits held than the limit allowed when the last of them was granted.
//
// The limit is the key p/limit, a slot is p/s/<number>, on its holder's lease. The key p/look says: one free slot tells nothing, look at all. The
// invariant J is: if there is no p/look, no slot from the limit on is taken. There are three ways to write these keys:
//
//   - SetLimit writes p/limit and, in the same Txn, p/look if a slot from the new limit on is taken, or the permits are to be spread; otherwise it deletes
//     p/look. J holds whether it raises or lowers. It compares the revision of the record that it has read, so that a late copy does nothing.
//   - Whoever has read nothing takes slot i if there is no p/look, the limit is over i, and the slot is free. By J all taken slots, and this one, are
//     below the limit: there are no more of them than it allows.
//   - Whoever has read at revision r compares that p/limit is as it was. If there was no p/look, free slots below the limit are taken as above (to
//     write p/look is to write p/limit). If there was one, it has counted: so many are taken, it wants n, together no more than the limit. It compares
//     that no slot was written after r; then there are at most as many as it has counted. All that it takes are below the limit. If it has seen none from
//     the limit on it deletes p/look, unless that is there for the spread: nobody has come since, so J holds.
//
// That a free slot is below the limit would not be enough after a lowering from 3 to 2: with slots 1 and 2 taken, slot 0 is free.
//
// The spread is counted in the second way only. Each permit has a place in a group as well, p/g/<label>/<value>/<number>, taken with the slot.
package slots
