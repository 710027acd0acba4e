package server

import (
	"log/slog"
	"time"
)

// The defaults of [Config].
const (
	DefaultClientURL            = "http://127.0.0.1:2379"
	DefaultElectionTimeout      = 100 * time.Millisecond // of a member that is alone
	ClusterElectionTimeout      = time.Second            // of a member of a cluster
	DefaultCompactionHistory    = time.Hour
	DefaultQuotaBytes           = 2 << 30
	DefaultMaxRequestBytes      = 3 << 19 // 1.5 MiB
	DefaultMaxConcurrentStreams = 4096
)

// Config says how a server runs. The zero value of each field is its default; only DataDir has none,
// so set it, or Temporary.
type Config struct {
	// DataDir is the directory that holds the data. It is created (mode 0700) if it isn't there, and
	// belongs to one running server at a time. Required unless Temporary.
	DataDir string

	// Temporary keeps the data in a new temporary directory, made by Start and removed by Close.
	// Default: false.
	Temporary bool

	// ClientURLs are the addresses to listen on for gRPC clients: "http://host:port", or
	// "https://host:port" with CertFile and KeyFile. Port 0 picks a free port: see Server.Endpoints.
	// A host that others than this machine reach needs https with ClientCAFile, or AllowInsecure.
	// Default: DefaultClientURL alone.
	ClientURLs []string

	// HTTPURL is the address to listen on for HTTP/1.1: metrics, health, version and, with
	// HTTPGateway, the JSON API. Same form and same rule as ClientURLs; see Server.HTTPEndpoint.
	// Default: none.
	HTTPURL string

	// HTTPGateway serves etcd's JSON API under /v3/ of HTTPURL, which is then required.
	// Requests from web pages of another origin are refused. Default: false.
	HTTPGateway bool

	// Cluster makes the server a member of a cluster: the members by name, this one included, each with
	// the URL at which the others reach it ("http://host:port" or "https://host:port"). Every member is
	// given the same. Once a member has a store, that knows the cluster, and Cluster is used no more.
	// Default: none, a member that is alone and has no peer listener.
	Cluster map[string]string

	// Name is this member's name in Cluster: required with it, and only with it.
	Name string

	// PeerURL is the address to listen on for the other members, where it isn't the one at which they
	// reach this one: another interface, a proxy in between. With https it needs PeerCertFile,
	// PeerKeyFile and PeerCAFile; without, a host that others than this machine reach needs
	// AllowInsecure, and so does such a host in Cluster. Default: the URL of Name in Cluster.
	PeerURL string

	// Join says that the cluster exists, and that this member was added to it (clientv3's MemberAdd)
	// before it starts for the first time. Cluster then names the members that the cluster has now.
	// Default: false, all members of Cluster start for the first time, together.
	Join bool

	// ClusterToken tells clusters apart that were made with the same Cluster: give a new one to a
	// cluster that is made anew on the addresses of an old one, so that a member of the old one can't
	// meddle. The same for all members. Default: none.
	ClusterToken string

	// PeerCertFile and PeerKeyFile are the certificate and key (PEM) that this member shows the others,
	// those that connect to it and those that it connects to, read again at each handshake. The
	// certificate must be good for both sides (serverAuth and clientAuth) and for the addresses that
	// this member connects from. PeerCAFile holds the certificates (PEM) of the authorities of members.
	// All three with https, or none. Default: none, no TLS.
	PeerCertFile, PeerKeyFile, PeerCAFile string

	// AllowInsecure permits addresses that other machines reach without certificates: anybody who can
	// connect may then read and write everything. Default: false.
	AllowInsecure bool

	// CertFile and KeyFile are the server's certificate and key (PEM), read again at each handshake.
	// Both or neither. At least TLS 1.2 is spoken. Default: none, no TLS.
	CertFile, KeyFile string

	// ClientCAFile holds the certificates (PEM) of the authorities of clients. When set, a client
	// without a certificate of theirs is refused. Default: none, clients need no certificate.
	ClientCAFile string

	// ElectionTimeout is how long a follower waits for its leader, 5 ms to 50 s, whole milliseconds.
	// A single member elects itself within it when it starts. The smallest lease TTL is 1.5 times
	// ElectionTimeout, rounded up to whole seconds. Default: DefaultElectionTimeout (so 1 s) for a
	// member that is alone. With Cluster: ClusterElectionTimeout (so 2 s), since a leader that is slow for
	// a moment, or a network that is, must not cost an election. The same for all members.
	ElectionTimeout time.Duration

	// HeartbeatInterval is the unit of raft's time, whole milliseconds, at most a fifth of
	// ElectionTimeout. Default: a tenth of ElectionTimeout, at least 1 ms.
	HeartbeatInterval time.Duration

	// CompactionHistory is how long old revisions are kept, at least 1 s; compaction is automatic and
	// can't be switched off. Reads and watches of older revisions fail. Default:
	// DefaultCompactionHistory, one hour.
	CompactionHistory time.Duration

	// QuotaBytes is the size that the database may reach, at least 1 MiB. At the quota etcd refuses
	// writes that need room, until space is freed and the alarm disarmed.
	// Default: DefaultQuotaBytes, 2 GiB.
	QuotaBytes int64

	// MaxRequestBytes is the size of the largest request, at most 10 MiB.
	// Default: DefaultMaxRequestBytes, 1.5 MiB.
	MaxRequestBytes int

	// MaxConcurrentStreams is how many requests and watch streams one connection may have open at a
	// time, at most 1,000,000; more of them wait in the client. Default: DefaultMaxConcurrentStreams.
	MaxConcurrentStreams int

	// EtcdRecipes serves etcd's own lock and election services too. Their Unlock deletes any key that
	// it is given, without a look at who holds it. Default: false.
	EtcdRecipes bool

	// NoFsync doesn't wait for the disk: for tests only. A crash of the machine loses data that was
	// acknowledged, and with it locks and fencing tokens. Default: false.
	NoFsync bool

	// Logger receives etcd's logs, at info and above, without the keys and values of requests. It is
	// called on etcd's own goroutines and must not block. Default: nil, discard.
	Logger *slog.Logger
}
