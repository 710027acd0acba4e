// Package session is the ground that all recipes stand on: a lease in etcd that is kept alive, and the clock that
// says how long to trust it.
//
//	s, err := session.Open(ctx, client)
//	if err != nil {
//		return err
//	}
//	defer s.Close(ctx)
//	err = lock.Do(ctx, s, "reports/nightly", func(ctx context.Context) error { … })
//
// One session serves a whole process, any number of recipes and goroutines. Two goroutines on one session exclude each
// other: each acquisition is a thing of its own.
//
// # What a hold is
//
// Whatever a recipe gives you is a [Hold]: a lock, a term of leadership, a permit. It has a context that ends before
// anybody else can hold the same thing, with the reason as its cause, and that carries the hold's claim, with its
// fencing token, for the guards in package fencing. Code that takes a context.Context is already written for it.
//
// The context can only end in time in a process that runs. One that is stopped between its last look and its write
// (SIGSTOP, a page fault, a paused virtual machine) writes late, with any lock there is. What protects the resource then is
// the token, checked by the resource.
//
// # When etcd is away
//
// The session goes on trying. A lease that could not be renewed is lost a margin before etcd can end it: every hold on it
// ends with [ErrLost]. The session itself outlives its leases: the next acquisition opens a new one, so that a service
// that lived through an outage goes on without a restart. No hold ever moves to another lease. Acquisitions that were
// waiting stand in line again, at its end, as long as their ctx allows ([NoRejoin] has them fail instead).
//
// No call goes on past its ctx by more than 250 ms, except those that clean up (Release, Close): they do what is left
// to do for at most [CleanupTimeout] after their ctx has ended, then return an error that Is [ErrUnknownOutcome] and
// leave the rest to the session, which goes on in the background until the lease has ended.
//
// # How long to trust a lease
//
// A lease is trusted until the time read just before its last answered renewal was sent, plus the TTL that the answer
// granted, minus a margin. A renewal counts only once a read after it has shown that no other leader had been elected
// before: one of etcd's that was cut off, or stood still, goes on renewing leases that its successor ends. So a renewal is
// two requests, every third of the TTL.
//
// The time is counted by a clock that goes on while the machine is suspended: CLOCK_BOOTTIME on Linux, its like on Darwin
// and Windows; elsewhere Go's monotonic clock, which may stop then. A virtual machine that is paused stops all of them;
// when its wall clock jumps ahead afterwards, holds are not believed ([ErrUncertain]) until etcd has confirmed them. A
// jump within the margin just counts as time that has passed.
//
// Not covered, and said for that reason: an operator who deletes the keys or revokes the lease (noticed within a
// second), and a backup restored without raising the revisions. Tokens protect in the first case, not in the second.
// All that is promised, and under which assumptions, is in docs/guarantees.md.
package session
