package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(fatalDirEnv); dir != "" {
		os.Exit(startFatal(dir))
	}
	if dir := os.Getenv(fullDirEnv); dir != "" {
		os.Exit(startFull(dir))
	}
	goleak.VerifyTestMain(m)
}

// quick is a server for a test: nothing of it meets another.
func quick() Config {
	return Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}, NoFsync: true}
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func dial(t *testing.T, cfg clientv3.Config) *clientv3.Client {
	t.Helper()
	cfg.Logger = zap.NewNop()
	c, err := clientv3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t *testing.T, c *clientv3.Client, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := c.Put(ctx, key, value); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func get(t *testing.T, c *clientv3.Client, key string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	resp, err := c.Get(ctx, key)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if len(resp.Kvs) == 0 {
		return ""
	}
	return string(resp.Kvs[0].Value)
}

func TestAServerServesBothItsClientAndOthers(t *testing.T) {
	s := start(t, quick())
	put(t, s.Client(), "k", "v")
	if len(s.Endpoints()) != 1 || strings.HasSuffix(s.Endpoints()[0], ":0") {
		t.Fatalf("Endpoints() = %v, want one with a real port", s.Endpoints())
	}
	if got := get(t, dial(t, clientv3.Config{Endpoints: s.Endpoints()}), "k"); got != "v" {
		t.Errorf("over TCP: got %q, want v", got)
	}
	members, err := s.Client().MemberList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Endpoints(), members.Members[0].ClientURLs); diff != "" {
		t.Errorf("advertised URLs (-want +got):\n%s", diff)
	}
}

func TestSeveralAddresses(t *testing.T) {
	cfg := quick()
	cfg.ClientURLs = []string{"http://127.0.0.1:0", "http://localhost:0"}
	s := start(t, cfg)
	put(t, s.Client(), "k", "v")
	for _, ep := range s.Endpoints() {
		if got := get(t, dial(t, clientv3.Config{Endpoints: []string{ep}}), "k"); got != "v" {
			t.Errorf("%s: got %q, want v", ep, got)
		}
	}
}

func TestDataSurviveARestart(t *testing.T) {
	cfg := quick()
	cfg.Temporary, cfg.DataDir = false, filepath.Join(t.TempDir(), "not", "there", "yet")
	for i, want := range []string{"", "v"} {
		s, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatalf("Start %d: %v", i, err)
		}
		if got := get(t, s.Client(), "k"); got != want {
			t.Errorf("run %d: got %q, want %q", i, got, want)
		}
		put(t, s.Client(), "k", "v")
		if s.DataDir() != cfg.DataDir {
			t.Errorf("DataDir() = %q, want %q", s.DataDir(), cfg.DataDir)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATemporaryDirectoryIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := start(t, quick())
	if _, err := os.Stat(filepath.Join(s.DataDir(), "member")); err != nil {
		t.Fatalf("while running: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	assertEmpty(t, os.Getenv("TMPDIR"))
}

func assertEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in %s: %v (%v)", dir, left, err)
	}
}

func assertFree(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Errorf("the port is not free: %v", err)
		return
	}
	l.Close()
}

// freePort returns an address that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// assertRefused wants Start to fail with those words, and to leave nothing behind.
func assertRefused(ctx context.Context, t *testing.T, cfg Config, words ...string) error {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	ignore := goleak.IgnoreCurrent()
	addr := freePort(t)
	cfg.ClientURLs = append([]string{"http://" + addr}, cfg.ClientURLs...)
	s, err := Start(ctx, cfg)
	if err == nil {
		s.Close(context.Background())
		t.Fatal("Start succeeded")
	}
	for _, w := range append(words, "server: ") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
	assertFree(t, addr)
	assertEmpty(t, os.Getenv("TMPDIR"))
	if err := goleak.Find(ignore); err != nil {
		t.Error(err)
	}
	return err
}

func TestAPortInUseIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := quick()
	cfg.ClientURLs = []string{"http://" + l.Addr().String()}
	assertRefused(t.Context(), t, cfg, "listen "+l.Addr().String()+": address already in use")
	cfg = quick()
	cfg.HTTPURL = "http://" + l.Addr().String()
	assertRefused(t.Context(), t, cfg, "listen "+l.Addr().String())
}

func TestMissingCertificatesAreRefused(t *testing.T) {
	cfg := Config{Temporary: true, ClientURLs: []string{"https://127.0.0.1:0"}, CertFile: "/nowhere/c.pem", KeyFile: "/nowhere/k.pem"}
	assertRefused(t.Context(), t, cfg, "TLS", "/nowhere/c.pem")
}

func TestAnEndedContextIsRefused(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := assertRefused(ctx, t, Config{Temporary: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v is not context.Canceled", err)
	}
}

// cancelOnLog ends a context when etcd logs a certain message.
type cancelOnLog struct {
	slog.Handler
	message string
	cancel  func()
}

func (h cancelOnLog) Enabled(context.Context, slog.Level) bool { return true }
func (h cancelOnLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.cancel()
	}
	return nil
}

func TestAContextThatEndsDuringStartIsObeyed(t *testing.T) {
	for _, message := range []string{"starting an etcd server", "now serving peer/client/metrics"} {
		t.Run(message, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := Config{Temporary: true, ElectionTimeout: maxElectionTimeout} // ready in 5 s at the soonest
			cfg.Logger = slog.New(cancelOnLog{slog.DiscardHandler, message, cancel})
			began := time.Now()
			if err := assertRefused(ctx, t, cfg, "start"); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v is not context.Canceled", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("Start took %v", took)
			}
		})
	}
}

func TestCloseDuringStartStopsTheStart(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var s *Server
	closed := make(chan error, 1)
	var once sync.Once
	cfg := quick()
	cfg.ElectionTimeout = 2 * time.Second
	cfg.Logger = slog.New(cancelOnLog{slog.DiscardHandler, "starting an etcd server", func() {
		once.Do(func() { s.beginClose(); go func() { closed <- s.Close(context.Background()) }() })
	}})
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("Start: %v, want closed", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	assertEmpty(t, os.Getenv("TMPDIR"))
}

func TestAServerStartsOnce(t *testing.T) {
	s := start(t, quick())
	if err := s.Start(t.Context()); err == nil {
		t.Error("the second Start succeeded")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("Start after Close: %v, want closed", err)
	}
}
