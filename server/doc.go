// Package server runs one etcd member inside this process.
//
//	s, err := server.Start(ctx, server.Config{DataDir: "/var/lib/stile"})
//	if err != nil { ... }
//	defer s.Close(ctx)
//	client := s.Client()        // in this process: no socket in between
//	endpoints := s.Endpoints()  // for everybody else
//
// # What it promises
//
// [Start] returns when the server serves, or an error that says what is wrong, and then it leaves
// nothing behind: no goroutine, listener, lock or temporary directory. [Server.Close] ends at once
// all that the server handed out, answers what is in flight, and doesn't wait for clients that stay
// connected. [Server.Done] and [Server.Err] tell when etcd stopped by itself.
//
// # Security
//
// By default only this machine reaches the server: it listens on loopback, and there is no peer
// listener at all. An address that others reach is refused unless it asks for client certificates
// (an https URL with CertFile, KeyFile and ClientCAFile), or Config.AllowInsecure says that the
// network is trusted. The same goes for the addresses of a cluster's members (PeerCertFile, PeerKeyFile
// and PeerCAFile): who passes for a member can do everything. Note that every user of this machine
// reaches loopback.
//
// The client port speaks gRPC and nothing else, so a web page can't talk to it. HTTP has a port of
// its own, off unless Config.HTTPURL names it: /metrics, /health, /livez, /readyz, /version, and the
// JSON gateway under /v3/ when Config.HTTPGateway is set. It answers only requests whose Host is an
// IP address, localhost or the host it listens on (a name that was rebound to this machine is none of
// these; any Host will do on an https port that asks for client certificates), refuses what a page of another origin sends, and sends no CORS header. /debug/vars and
// profiles, which etcd serves too, are not served: they show the command line.
// The HTTP port falls under the same rule for addresses; those who may connect may read the metrics.
//
// etcd's own lock and election services are refused unless Config.EtcdRecipes switches them on: their
// Unlock deletes whatever key it is given.
//
// etcd's logs go to Config.Logger without the requests that they were about, so that stored keys and
// values don't end up in logs; etcd's debug level is never passed on.
//
// With etcd's authentication on, the in-process client needs a token like any other: it is not root.
//
// # Several members
//
// With Config.Cluster the server is one member of a cluster, which serves as long as most of its members
// run and reach each other: three bear the loss of one, five of two.
//
//	server.Config{
//		DataDir: "/var/lib/stile", ClientURLs: []string{"https://10.0.0.1:2379"}, // CertFile, …
//		Name:    "a",
//		Cluster: map[string]string{"a": "https://10.0.0.1:2380", "b": "https://10.0.0.2:2380", "c": "https://10.0.0.3:2380"},
//		PeerCertFile: "a.pem", PeerKeyFile: "a.key", PeerCAFile: "members.pem",
//	}
//
// Start waits for a majority, so start the members at one time. Give clients the endpoints of all. A write
// takes a round trip between members more. A leader that dies is replaced after one to two election
// timeouts; leases are extended by that, never cut short. A leader that closes hands over first.
//
// A member without a majority refuses reads and writes, and keeps its clients waiting until their ctx ends,
// rather than to answer with what may be old. Never start a member on an empty directory that has been a
// member before: it has forgotten what it voted for. Replace it, as docs/cluster.md tells, which has the
// commands for three as well.
//
// # What it cannot promise
//
// etcd ends the whole process when it can't write its log: a full or failing disk, above all. Its last
// words go to Config.Logger, or to standard error when there is none. An application that must outlive
// this runs `stile serve` beside itself instead of this package inside.
//
// A data directory that is damaged is an error of Start as far as etcd notices it while starting; etcd
// then may keep files of that directory open until the process ends. So is a disk without room for a new
// store. But etcd opens an existing database in a goroutine of its own, and a failure there that isn't
// seen before (a file it may read but not write, say) ends the process even so.
//
// Without Config.Cluster, the store of a member of a larger cluster is refused; and with several members in
// it that of a member that was alone. The documentation of clusters tells how one becomes three.
//
// The metrics are etcd's, in Prometheus' registry of the process: two servers in one process count
// into the same series.
package server
