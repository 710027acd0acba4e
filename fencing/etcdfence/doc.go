// Package etcdfence guards what is in etcd: a write lands only if its holder has not been replaced, decided by etcd in the
// transaction that writes.
//
// There are two guards. [KV] is for writes to the etcd cluster that gave the hold, and needs nothing else:
//
//	kv := etcdfence.NewKV(client) // a clientv3.KV
//	err := lock.Do(ctx, s, "config", func(ctx context.Context) error {
//		_, err := kv.Put(ctx, "config/color", "green") // ctx is that of the hold
//		return err
//	})
//
// It compares the key of the hold itself, so that a write is refused from the instant at which the hold ends, whether or not anybody
// holds it after that. There is nothing to seal and nothing to clean up. (With the hold at hand, its Txn method does the same.)
//
// [Gate] is for everything else: a write to another cluster than the one that gave the hold, a claim that came over a wire, a
// resource outside of etcd that needs a durable memory. It is a fencing.Gate that keeps the largest tokens in etcd, and
// [Gate.Txn] joins its check with the caller's own operations:
//
//	gate := etcdfence.NewGate(client, "fence/")
//	err := gate.Seal(ctx) // when the hold begins, before the first read
//	...
//	resp, err := gate.Txn(ctx).Then(clientv3.OpPut("config/color", "green")).Commit()
//
// # What is sent, and how often
//
// Each call is one transaction or one read. What writes for the caller is sent once, since it may
// not be safe to repeat: when the answer is lost the error Is fencing.ErrUnknownOutcome. Gate.Check, Gate.CheckRead and Gate.Seal may be
// called again after any error.
//
// Nothing waits longer than ctx. Without a deadline there, a silent etcd is waited for without an end.
package etcdfence
