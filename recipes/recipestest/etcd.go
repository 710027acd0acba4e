package recipestest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/stile-dev/stile/server"
)

// startTimeout bounds the start and the stop of the server; they take about 100 ms.
const startTimeout = 30 * time.Second

var shared struct {
	sync.Mutex
	main    bool // Main was called
	server  *server.Server
	clients atomic.Int64
}

// Main runs the tests, stops the server, and then fails if a goroutine is left. Call it from TestMain.
//
// In the processes that NewProcess starts from the test binary, it is the server.
func Main(m *testing.M) {
	if config, ok := os.LookupEnv(processEnv); ok {
		os.Exit(serveProcess(config))
	}
	shared.Lock()
	shared.main = true
	shared.Unlock()
	goleak.VerifyTestMain(stopping{m})
}

// stopping stops the shared server before goleak looks.
type stopping struct{ m *testing.M }

func (s stopping) Run() int {
	code := s.m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := shared.server.Close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "recipestest:", err)
		return max(code, 1)
	}
	return code
}

// Endpoint is the URL of the shared server. It starts it if need be.
func Endpoint(tb testing.TB) string {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		s, err := server.Start(ctx, server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}, NoFsync: true})
		if err != nil {
			tb.Fatalf("recipestest: %v", err)
		}
		shared.server = s
	}
	return shared.server.Endpoints()[0]
}

// A ClientOption is something that stands between a client and its server: a Proxy, or Faults.
type ClientOption interface {
	set(cfg *clientv3.Config)
}

// Client is a client of the shared server, over TCP, that sees a part of its own. It is closed when the test ends.
func Client(tb testing.TB, opts ...ClientOption) *clientv3.Client {
	tb.Helper()
	prefix := fmt.Sprintf("%d/%s", shared.clients.Add(1), strings.ReplaceAll(tb.Name(), "/", "_"))
	return Namespace(tb, prefix, opts...)
}

// Namespace is a client of the shared server that sees the keys below prefix, as others of the same prefix do.
func Namespace(tb testing.TB, prefix string, opts ...ClientOption) *clientv3.Client {
	tb.Helper()
	c := newClient(tb, []string{Endpoint(tb)}, opts)
	c.KV = namespace.NewKV(c.KV, prefix)
	c.Watcher = namespace.NewWatcher(c.Watcher, prefix)
	c.Lease = namespace.NewLease(c.Lease, prefix)
	return c
}

func newClient(tb testing.TB, endpoints []string, opts []ClientOption) *clientv3.Client {
	tb.Helper()
	cfg := clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()}
	for _, opt := range opts {
		opt.set(&cfg)
	}
	c, err := clientv3.New(cfg)
	if err != nil {
		tb.Fatalf("recipestest: %v", err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}
