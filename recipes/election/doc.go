// Package election elects one leader at a time among processes on etcd, and tells everybody who it is.
//
//	err := election.Run(ctx, s, "scheduler", func(ctx context.Context, term *election.Term) error {
//		return schedule(ctx) // until ctx ends
//	}, election.Value(addr))
//
// Run is the form to begin with: it joins the work before leadership goes to anybody else. Campaign hands the term out. A [Term] is a hold: its context
// ends before anybody else can lead, and carries the claim election/<name>, whose token rises with every term.
//
// # The states of a candidate
//
//	waiting ── at the head of the line, and nobody leads ──▶ leads      it is the heir, and the only one who watches the leader
//	waiting ── the leader, or the heir, gives it leadership ──▶ leads   it learns of it from the one event of its own entry, and sends nothing
//	leads ── Resign, HandOver ──▶ a successor leads; nobody, if none waits
//	leads ── its lease ends ──▶ the heir gives leadership to whoever is first: itself, or a candidate of a higher priority
//
// The invariant: leadership is one key (the place), which is never rewritten during a term; its mod revision is the term. Leadership is given by one transaction
// that compares the place and the successor's entry, and writes the place on the successor's lease: there is no moment without a leader,
// and none with two. If the successor
// has left the compare fails, and the leader looks for another.
//
// # What is promised
//
// At most one leader a term, and terms rise. A leader stays, whoever comes (but for Preempt). Nobody leads after its campaign has failed,
// and nobody leads without knowing: a candidate that
// is given leadership after it has given up gives it back. Candidates that have died stand in line until their leases have ended:
// leadership given to one is lost for at most
// that long. What cannot be promised is what no lock can promise; see package session.
//
// # What it costs
//
// Campaign alone: 1 transaction. One who waits joins with 1 transaction, opens 2 watches and reads once; the heir watches the leader as well. Resign and
// HandOver: 1 read of the line and 1 transaction; nothing for the successor. After a crash the heir reads the line and writes once.
//
// The kind is "election"; docs/layout.md specifies the keys.
package election
