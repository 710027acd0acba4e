// Package keep is the machinery behind a session: it keeps leases alive, says how long each may be trusted, and
// ends what is held on them before etcd can give it to somebody else.
//
// # The invariant
//
// A hold is believed only at instants at which etcd cannot yet have ended its lease. For a renewal (or the grant)
// that was answered, let sent be the client's clock just before the request left and TTL what the answer granted.
// etcd refreshed the lease at some instant after sent and keeps it for TTL from there, so
//
//	trusted until = sent + TTL − margin
//
// A slow answer cannot stretch it. Nor can a leader that has been replaced and doesn't know it yet: a renewal counts
// only when a read after it has shown that its leader was the last one elected (leader.go). A leader elected later
// starts the lease anew. The margin is for the rest: 1 % of the TTL for clocks of different rate, and time for a
// busy machine to notice.
//
// The clock counts the time for which the machine was suspended (CLOCK_BOOTTIME on Linux). A paused virtual machine
// stops even that one; its wall clock jumps when it is corrected. A jump beyond the margin makes the lease
// uncertain: nothing on it is believed until etcd, asked after the jump, has confirmed the lease and every key.
//
// # The states of a lease
//
//	open ── renewed in time ──▶ open
//	open ── the wall clock jumped ──▶ uncertain ── lease and keys confirmed ──▶ open
//	open, uncertain ── trust ran out, or etcd says that the lease is gone ──▶ lost
//	open, uncertain ── the session was closed ──▶ closed
//
// Lost is for ever. An answer that comes after the trust ran out changes nothing: etcd may answer a renewal although
// the lease's end is already in its log. A lost lease is not renewed again, and it is revoked once the work on it
// has returned (Hold.Do), so that the session's next acquisition does not queue behind its own old entry. The
// Keeper opens a new lease for the next acquisition; no hold ever moves to it.
//
// # Who notices
//
// The deadline is enforced by a watchdog of its own, not by the goroutine that talks to etcd: that one may hang in
// a request. It looks at the clock every tick, since a timer does not run while the machine is suspended, and at
// the deadline itself. Hold.Err and Hold.Txn read the clock on their own.
//
// A hold also ends when its own key is changed or deleted by somebody else. That is watched only once a hold has
// lasted for ownAfter, so that short critical sections don't pay for it: the watch is opened from now on, and when
// etcd says that it is open the key is read and compared, so that what happened before is noticed as well.
package keep
