// Package line is the one FIFO line in which everything that waits, waits: a queue lock after Craig, Landin and Hagersten
// (CLH), on etcd. Joining is one commit, passing on is one commit, and the successor learns that it is its turn from one
// event, without a scan, a herd, or a read after the wake-up, whether 10 wait or 10,000.
//
// # Keys
//
// Under the prefix of a line:
//
//	tail    the id of the entry that joined last; on no lease
//	e/<id>  an entry, on its session's lease: who it is, or how it ended
//	x/<id>  says that id is void, on the lease of the session that made it so
//	d/...   delay or min: a lock is kept after its holder, once that is lost, or in any case; on leases of their own
//
// An id is a random UUID and is sent once.
//
// # Invariants
//
//   - A live entry is never rewritten: the first write to it ends it. So an entry is live ⇔ its mod revision is its create
//     revision, and that revision is its token. Every guard compares the mod revision: an entry marked as passed keeps
//     its create revision, and a guard on that one would accept the old holder's writes during the next one's hold.
//
//   - Entries stand in the order of their create revisions, which is the order in which tail named them.
//
//   - The head is the live entry with the smallest create revision. Nobody overtakes.
//
//   - Tail is removed only by the entry it names, which must be at the head, or when there is no entry at all.
//
//   - Whoever is at the head of a lock's line becomes its holder only at a revision at which there is no key below d/. Only the holder writes
//     there, while its entry is live; so what stands there is its own, or a former holder's.
//
// # The states of an entry, as etcd has them
//
//	absent ── join ──▶ live ── pass on, nobody behind ──▶ absent (with tail)
//	                    │ ──── pass on ──▶ passed ── the successor passes on ──▶ absent
//	                    │ ──── give up, last, predecessor known ──▶ absent (tail names the predecessor again)
//	                    │ ──── give up ──▶ gone (points to the predecessor, if that is known) ── buried, tidied up ──▶ absent
//	                    │ ──── an operator removes it ──▶ removed
//	                    └ ──── its lease ends ──▶ absent
//	absent ── resolve ──▶ void: a join with this id, however late, does nothing
//
// Marks (passed, gone, removed) stay on their writer's lease. A passed mark is deleted by the successor when it passes on itself;
// the others by the one waiter that moved past them, in the background, whatever becomes of that waiter.
//
// # The states of a participant
//
//	joining   sent Join. No answer: resolving.
//	resolving The entry is found: adopted, predecessor unknown. It is not: the id is void for ever; join with a new one. A request
//	          that was given up may still be applied later, which is why a check alone would not do.
//	waiting   Knows a predecessor: a watch on its entry from now on, a watch on the own one, then one Txn that reads both. From then
//	          on events tell; states decide, never the events' order:
//	            live               wait
//	            passed             head
//	            gone → p           the predecessor is p
//	            gone, removed, absent   the predecessor is unknown: searching
//	            own entry written or deleted by somebody else   out. After a reconnect the two watches resume one after the other:
//	                               a removed one may take itself for the head until its own event comes, as a holder does whose
//	                               key an operator deletes. What it writes by its token is refused.
//	searching Etcd's history of tail tells who was in front: read tail just before the own join (the revision before that at which
//	          it was written, and so on):
//	            no tail            head
//	            names a live one   that is the predecessor
//	            names a passed one head
//	            otherwise          go on (a pointer is not followed here: it may lead back)
//	          If that is compacted or long, one scan of keys alone: the youngest live entry older than the own, or none: head.
//	front     Nobody alive is in front, but the lock may be kept: a watch on d/ from now on, a watch on the own entry, then one Txn that reads
//	          both; again at each event. Nothing below d/: head. Whoever gives up here leaves as a waiter does, so that the next one looks too.
//	head      The lock's holder; for other recipes the next one.
//
// Who comes to the front of a lock's line looks below d/: in the Txn that joins, if there is no tail; in the one that reads the own entry after a search. After a
// passed mark nothing is asked unless that says that the lock is kept: who passes on has held the lock, and in the same Txn deletes
// what it has written there (d/min stays; then the mark says so).
//
// # Leaving
//
// Pass: guarded by the own mod revision, if tail names me delete both, otherwise mark my entry passed, with the time for those who ask
// since when. Give up: if I know my predecessor and am last, put tail back to it and delete my entry; otherwise mark it gone. One
// that doesn't know its predecessor always leaves a mark, even when last: who joins next asks the mark, and then history.
// Those that leave at one time may each count on the other to stay. So a give-up looks, in the same Txn, whether tail names a live
// entry afterwards; if not it tidies up: one read of the line's names, then tail is put back to the youngest live entry, or deleted,
// provided that tail is as it was read (nobody has joined since) and that entry is still live; the marks behind it are deleted.
// When etcd is out of space (NOSPACE) it refuses any Txn with a Put: then the entry is just deleted, and the successor
// goes the way of a crash.
//
// All of these may be repeated after a lost answer: the guard on the own mod revision holds once.
//
// # Places
//
// For the exclusive lock the head is the holder. For every other recipe (Placed) the head is the next: it waits until what it wants fits,
// and then takes a place of its own and leaves the line, in one Txn. Under the prefix:
//
//	p/<name>  a place, on its holder's lease: whose it is. Its mod revision is the token. Whatever else decides whether a place is
//	          free stands below p/ as well, so that one watch tells the head.
//
// The invariants of entries hold for places: a place is never rewritten while it is held, and every guard compares its mod revision.
// Names of places are used again and again (dead names slow down range compares), so a place's value names the acquisition's id, by which
// the answer to a lost request is found.
//
//	nobody in line, it fits   one Txn takes the place (Want.Blind), and otherwise stands in line or, for a try, reads
//	head, it fits             If mod(e/id) = join, and what Want.Plan compares, Then put the places, pass the head on
//	head, it doesn't          a watch on p/ from now on, then a read of p/ and the own entry; events keep the View up to date
//	appointed                 somebody else puts the places on this one's lease, and ends its entry by a mark that names them (granted;
//	                          passed if the head is passed on with it): it learns of it from that one event, and deletes the mark
//	                          when it releases
//	released                  If mod(p/...) = token Then delete them
//
// A claim without an answer: the guard on the own entry holds once, so it is sent again; if the guard fails, the places with the own id
// tell whether it was granted. One who gives up and finds its entry gone looks for them too, and gives them back. A first request without
// an answer is resolved as a join is: the id is made void, and in the same Txn the places are read.
//
// # Liveness
//
// When all have left and nobody has crashed, no key is left. A tail whose entries died with their leases stays until somebody joins,
// or until Sweep. Every waiter reads again each 30 to 60 s in
// case a watch has missed something. After compaction, a reconnect or a leader's loss a waiter opens its watches again and looks.
package line
