package fakeetcd

import _ "unsafe" // for linkname

// neverDone is what clientv3's watcher gives its streams for a Done channel: one for the whole package, which never closes. It was made outside
// of every testing/synctest bubble, so that whoever waits for it keeps the bubble's time from passing. A nil one never closes either, and nobody
// waits for it.
//
//go:linkname neverDone go.etcd.io/etcd/client/v3.valCtxCh
var neverDone chan struct{}

func init() { neverDone = nil }
