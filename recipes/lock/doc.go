// Package lock is an exclusive lock on etcd: one holder at a time, in order of arrival, with a fencing token.
//
//	err := lock.Do(ctx, s, "reports/nightly", func(ctx context.Context) error {
//		return writeReport(ctx)
//	})
//
// Do is the form to begin with. Its ctx ends with the lock, it returns only when the work has, and it never hides that the
// lock was lost on the way. Acquire and TryAcquire hand the lock out, for work that isn't one function.
//
// # What is promised
//
// Holders' tokens rise, and [Held.Txn] writes to etcd only while the lock is held, decided at the instant of the commit. The
// context of a hold ends before anybody else can hold the lock, in a process that runs. No lock can promise that a process
// which was stopped between its last look and its write does not write late: let the resource check the token (package
// fencing). docs/guarantees.md has all of it.
//
// # What it costs
//
// With nobody in line, acquiring is 1 transaction and releasing is 1. With others in line, a waiter joins with 1
// transaction, opens 2 watches and reads once; when its turn comes it learns so from an event and sends nothing. A lock
// that is held for over a quarter of a second is watched for others who take it away: 1 watch and 1 read. None of
// this depends on how many wait, or on how many locks the session holds.
//
// # Taking it back
//
// Revoke asks the holder to finish and release within a grace, at whose end its context ends with a *session.RevokedError; Force takes the lock
// at once, from whoever does not hear; Remove takes somebody who waits out of the line. Who asked, when and why stays beside the lock:
// Inspect shows the last 16.
//
// # Keeping it from others
//
// For a resource that can't check tokens, [Delay] keeps the lock for a while after a holder that crashed or lost it (Consul's lock-delay), and [MinHold] for a
// while in any case. Everybody obeys, with or without options: who waits goes on waiting, TryAcquire says held, Inspect shows State.Kept. No clock but etcd's
// is asked; it ends a Delay up to four thirds of the session's TTL late, later after a change of its leader. If the key was taken (Force)
// it runs from when the hold is
// released. Acquiring takes 1 transaction more, MinHold 1 lease more; a session has 1 lease for each Delay that it uses, renewed before its own.
//
// # Not re-entrant
//
// Acquiring a lock that the context says is held already would wait for itself: that is ErrWouldDeadlock, at once.
//
// The algorithm is a CLH queue lock (Craig; Landin and Hagersten, 1993/94); the package line tells how it stands in etcd,
// and docs/layout.md specifies the keys.
package lock
