// Package rwlock is a read-write lock on etcd: any number of readers, or one writer, strictly in order of arrival.
//
//	err := rwlock.DoRead(ctx, s, "index", func(ctx context.Context) error {
//		return search(ctx)
//	})
//
// DoRead and DoWrite are the forms to begin with: what package lock says of Do holds for them. AcquireRead and AcquireWrite hand the lock out.
//
// # Order
//
// Nobody overtakes: a reader that comes while a writer waits stands behind it, so neither side starves. Readers that wait one behind the other are
// let in together, up to 41 in one transaction.
//
// # What is promised
//
// A writer holds alone. Tokens rise in the order of holding: a writer's is larger than those of all who held before it, and a reader's is larger
// than that of every writer before it. Readers have no order among themselves. A hold for reading carries a shared claim: guards refuse a write
// with it, and let its reads pass until a later writer has sealed. What cannot be promised is what no lock can promise; see package session.
//
// # What it costs
//
// Reading while nobody writes or waits: 1 transaction, and 1 to release. Writing while nobody holds: the same. One who waits joins
// with 1 transaction, opens 2 watches and reads once; at the head of the line it watches the holders, and takes its place with 1 transaction;
// readers right behind it send nothing.
//
// # Neither re-entrant nor upgradable
//
// Acquiring the lock, in either mode, with a context that holds it already is ErrWouldDeadlock: a reader that wanted to write would wait for itself. A
// writer can become a reader without letting anybody in between: Write.Downgrade.
//
// The kind is "rwlock": a lock and a read-write lock of one name have nothing to do with each other. docs/layout.md specifies the keys.
package rwlock
