// Package fakeetcd is an etcd in memory, for simulations: it runs in the time of a testing/synctest bubble, and between it and each
// client is a network that the simulation plays.
//
// The client is etcd's own (clientv3's KV, Lease and Watcher), which speaks the protocol's messages; the fake begins where gRPC would. It has
// what the recipes use: transactions with nested ones and all compares, reads of the past, filters, orders and limits, compaction, leases that
// end in a loop of 500 ms, watches, elections, the NOSPACE alarm. It has no users, no members, no disk, and takes requests one at a time, as
// etcd's apply loop does.
//
// It is believed as far as its tests go: the same random operations, sent to it and to a real etcd, get the same answers, to the
// revision (TestAgreesWithEtcd).
package fakeetcd
