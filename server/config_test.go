package server

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestABadConfigIsRefused(t *testing.T) {
	ok := quick()
	with := func(change func(*Config)) Config { c := ok; change(&c); return c }
	urls := func(u ...string) Config { return with(func(c *Config) { c.ClientURLs = u }) }
	secure := func(ca, url string) Config {
		return with(func(c *Config) {
			c.CertFile, c.KeyFile, c.ClientCAFile, c.ClientURLs = "c.pem", "k.pem", ca, []string{url}
		})
	}
	for _, test := range []struct {
		want string // "" when it is fine
		cfg  Config
	}{
		{"", ok},
		{"", Config{DataDir: "d"}},
		{"DataDir", Config{}},
		{"Temporary", with(func(c *Config) { c.DataDir = "d" })},
		{"want http://host:port", urls("127.0.0.1:2379")},
		{"want http://host:port", urls("ftp://127.0.0.1:2379")},
		{"want http://host:port", urls("http://127.0.0.1")},
		{"want http://host:port", urls("http://127.0.0.1:70000")},
		{"want http://host:port", urls("http://127.0.0.1:2379/path")},
		{"want http://host:port", urls("http://:2379")},
		{"want http://host:port", urls("http://me:secret@127.0.0.1:2379")},
		{"ClientURLs", urls("http://me:secret@127.0.0.1:%zz")},
		{"https needs CertFile", urls("https://127.0.0.1:2379")},
		{"AllowInsecure", urls("http://0.0.0.0:2379")},
		{"AllowInsecure", urls("http://[::]:2379")},
		{"AllowInsecure", urls("http://127.0.0.1:2379", "http://192.0.2.1:2379")},
		{"AllowInsecure", urls("http://example.com:2379")},
		{"AllowInsecure", urls("http://127.0.0.1.example.com:2379")},
		{"", urls("http://localhost:2379", "http://[::1]:2379", "http://127.8.8.8:2379")},
		{"", with(func(c *Config) { c.ClientURLs, c.AllowInsecure = []string{"http://0.0.0.0:2379"}, true })},
		{"AllowInsecure", secure("", "https://0.0.0.0:2379")},
		{"", secure("ca.pem", "https://0.0.0.0:2379")},
		{"AllowInsecure", secure("ca.pem", "http://0.0.0.0:2379")},
		{"no URL is https", secure("", "http://127.0.0.1:2379")},
		{"go together", with(func(c *Config) { c.CertFile = "c.pem" })},
		{"ClientCAFile needs", with(func(c *Config) { c.ClientCAFile = "ca.pem" })},
		{"AllowInsecure", with(func(c *Config) { c.HTTPURL = "http://0.0.0.0:0" })},
		{"HTTPGateway needs HTTPURL", with(func(c *Config) { c.HTTPGateway = true })},
		{"ElectionTimeout", with(func(c *Config) { c.ElectionTimeout = -time.Second })},
		{"ElectionTimeout", with(func(c *Config) { c.ElectionTimeout = time.Minute })},
		{"ElectionTimeout", with(func(c *Config) { c.ElectionTimeout = 1500 * time.Microsecond })},
		{"HeartbeatInterval", with(func(c *Config) { c.HeartbeatInterval = time.Second })},
		{"HeartbeatInterval", with(func(c *Config) { c.HeartbeatInterval = time.Nanosecond })},
		{"", with(func(c *Config) { c.ElectionTimeout = 5 * time.Millisecond })},
		{"CompactionHistory", with(func(c *Config) { c.CompactionHistory = -1 })},
		{"CompactionHistory", with(func(c *Config) { c.CompactionHistory = time.Millisecond })},
		{"QuotaBytes", with(func(c *Config) { c.QuotaBytes = -1 })},
		{"QuotaBytes", with(func(c *Config) { c.QuotaBytes = 1000 })},
		{"MaxRequestBytes", with(func(c *Config) { c.MaxRequestBytes = -1 })},
		{"MaxRequestBytes", with(func(c *Config) { c.MaxRequestBytes = 1 << 30 })},
		{"MaxConcurrentStreams", with(func(c *Config) { c.MaxConcurrentStreams = -1 })},
		{"MaxConcurrentStreams", with(func(c *Config) { c.MaxConcurrentStreams = 1 << 30 })},
	} {
		_, err := New(test.cfg)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("New(%+v): %v", test.cfg, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("New(%+v): %v, want an error about %q", test.cfg, err, test.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	_, err := New(Config{QuotaBytes: -1, CompactionHistory: -1, ClientURLs: []string{"x"}})
	for _, want := range []string{"DataDir", "QuotaBytes", "CompactionHistory", "ClientURLs"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %s", err, want)
		}
	}
}

func TestLimitsReachEtcd(t *testing.T) {
	cfg := quick()
	cfg.MaxRequestBytes, cfg.ElectionTimeout, cfg.QuotaBytes = 1000, time.Second, 4<<20
	s := start(t, cfg)
	got := s.running().etcd.Server.Cfg
	if got.QuotaBackendBytes != 4<<20 || got.MaxConcurrentStreams != DefaultMaxConcurrentStreams || got.AutoCompactionRetention != time.Hour {
		t.Errorf("etcd runs with quota %d, streams %d, history %v", got.QuotaBackendBytes, got.MaxConcurrentStreams, got.AutoCompactionRetention)
	}
	if _, err := s.Client().Put(t.Context(), "k", strings.Repeat("x", 2000)); err == nil {
		t.Error("a request over MaxRequestBytes was accepted")
	}
	lease, err := s.Client().Grant(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if lease.TTL != 2 {
		t.Errorf("the smallest TTL is %d s, want 1.5 election timeouts, rounded up: 2", lease.TTL)
	}
}

func TestABadClusterIsRefused(t *testing.T) {
	ok := Config{DataDir: "d", Name: "a", Cluster: map[string]string{"a": "http://127.0.0.1:2380", "b": "http://127.0.0.1:2382"}}
	with := func(change func(*Config)) Config { c := ok; c.Cluster = maps.Clone(c.Cluster); change(&c); return c }
	at := func(url string) Config { return with(func(c *Config) { c.Cluster["b"] = url }) }
	secure := func(change func(*Config)) Config {
		return with(func(c *Config) {
			c.Cluster = map[string]string{"a": "https://a.example:2380", "b": "https://b.example:2380"}
			c.PeerCertFile, c.PeerKeyFile, c.PeerCAFile = "c.pem", "k.pem", "ca.pem"
			change(c)
		})
	}
	for _, test := range []struct {
		want string // "" when it is fine
		cfg  Config
	}{
		{"", ok},
		{"", with(func(c *Config) { c.PeerURL = "http://127.0.0.1:9999" })},
		{"", secure(func(*Config) {})},
		{"", secure(func(c *Config) { c.PeerURL = "https://0.0.0.0:2380" })},
		{"", with(func(c *Config) { c.Cluster["b"], c.AllowInsecure = "http://192.0.2.1:2380", true })},
		{"no member \"\" in Cluster: Name", with(func(c *Config) { c.Name = "" })},
		{"no member \"x\" in Cluster: Name", with(func(c *Config) { c.Name = "x" })},
		{"Cluster needs DataDir", with(func(c *Config) { c.DataDir, c.Temporary = "", true })},
		{"without '=' and ','", with(func(c *Config) { c.Cluster["b,c=d"] = "http://127.0.0.1:1" })},
		{"without '=' and ','", with(func(c *Config) { c.Cluster[""] = "http://127.0.0.1:1" })},
		{"Cluster: b \"ftp://127.0.0.1:2382\": want http://host:port", at("ftp://127.0.0.1:2382")},
		{"Cluster: b: a URL that can't be parsed", at("http://me:secret@127.0.0.1:%zz")},
		{"port 0", at("http://127.0.0.1:0")},
		{"members a and b of Cluster have the same URL", at("http://127.0.0.1:2380")},
		{"pass for a member", at("http://192.0.2.1:2380")},
		{"pass for a member", with(func(c *Config) { c.PeerURL = "http://0.0.0.0:2380" })},
		{"https needs PeerCertFile", at("https://127.0.0.1:2382")},
		{"go together", with(func(c *Config) { c.PeerCertFile = "c.pem" })},
		{"go together", secure(func(c *Config) { c.PeerCAFile = "" })},
		{"PeerURL is not https", secure(func(c *Config) { c.PeerURL = "http://127.0.0.1:2380" })},
		{"Name needs Cluster", Config{DataDir: "d", Name: "a"}},
		{"PeerURL needs Cluster", Config{DataDir: "d", PeerURL: "http://127.0.0.1:2380"}},
		{"Join needs Cluster", Config{DataDir: "d", Join: true}},
		{"ClusterToken needs Cluster", Config{DataDir: "d", ClusterToken: "x"}},
		{"PeerCAFile needs Cluster", Config{DataDir: "d", PeerCAFile: "ca.pem"}},
	} {
		_, err := New(test.cfg)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("New(%+v): %v", test.cfg, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("New(%+v): %v, want an error about %q", test.cfg, err, test.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

// TestTheElectionTimeoutByDefault: 100 ms would have a cluster elect whenever a machine is busy.
func TestTheElectionTimeoutByDefault(t *testing.T) {
	for want, cfg := range map[time.Duration]Config{
		DefaultElectionTimeout: {DataDir: "d"},
		ClusterElectionTimeout: {DataDir: "d", Name: "a", Cluster: map[string]string{"a": "http://127.0.0.1:2380"}},
		time.Minute / 2:        {DataDir: "d", Name: "a", Cluster: map[string]string{"a": "http://127.0.0.1:2380"}, ElectionTimeout: time.Minute / 2},
	} {
		got, err := check(cfg)
		if err != nil || got.ElectionTimeout != want {
			t.Errorf("check(%+v): %v, %v, want %v", cfg, got.ElectionTimeout, err, want)
		}
	}
}
