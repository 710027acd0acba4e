package recipestest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/server"
)

// A Server is an etcd of a test's own, that can be stopped and started again on its data.
type Server struct {
	tb     testing.TB
	cfg    server.Config
	start  startFunc
	server running // nil while it is stopped
}

type startFunc func(context.Context, server.Config) (running, error)

// running is a server that runs.
type running interface {
	Endpoints() []string
	Close(ctx context.Context) error
}

// A ServerOption sets something about a Server.
type ServerOption func(*server.Config)

// Quota is the size that the server's database may reach, for tests of what happens when it is full (Fill). Small ones are filled in
// no time; the least is 1 MiB.
func Quota(bytes int64) ServerOption {
	return func(c *server.Config) { c.QuotaBytes = bytes }
}

// ElectionTimeout is how long a member of a cluster waits for its leader; 1.5 times that, in whole seconds, is the smallest TTL of a
// lease.
func ElectionTimeout(d time.Duration) ServerOption {
	return func(c *server.Config) { c.ElectionTimeout = d }
}

// NewServer starts a server for this test alone, on loopback and a free port. It is stopped when the test ends.
func NewServer(tb testing.TB, opts ...ServerOption) *Server {
	tb.Helper()
	s := &Server{tb: tb, start: startHere}
	s.configure(opts)
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

func startHere(ctx context.Context, cfg server.Config) (running, error) {
	s, err := server.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return here{s}, nil
}

// here is a server in this process.
type here struct{ *server.Server }

// Close waits longer than Server.Close, which a member that hangs may hold up.
func (h here) Close(ctx context.Context) error {
	for {
		err := h.Server.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Server) configure(opts []ServerOption) {
	s.tb.Helper()
	s.cfg = server.Config{DataDir: s.tb.TempDir(), ClientURLs: []string{"http://127.0.0.1:0"}}
	for _, opt := range opts {
		opt(&s.cfg)
	}
}

// Start starts it on the data that it had.
func (s *Server) Start() {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.begin(ctx); err != nil {
		s.tb.Fatalf("recipestest: %v", err)
	}
}

func (s *Server) begin(ctx context.Context) (err error) {
	if s.server != nil {
		return errors.New("it runs")
	}
	if s.server, err = s.start(ctx, s.cfg); err != nil {
		s.server = nil
		return err
	}
	s.cfg.ClientURLs = s.server.Endpoints() // the same again after a restart
	return nil
}

// Stop stops it. Connections break.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.server.Close(ctx); err != nil {
		s.tb.Errorf("recipestest: %v", err)
	}
	s.server = nil
}

// Fill writes until etcd is out of space (NOSPACE), and refuses whatever could write more.
func (s *Server) Fill() {
	s.tb.Helper()
	c := s.Client()
	for i := 0; ; i++ {
		_, err := c.Put(context.Background(), fmt.Sprintf("fill/%d", i), strings.Repeat("x", 100<<10))
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return
		}
		if err != nil {
			s.tb.Fatalf("recipestest: fill: %v", err)
		}
	}
}

// Endpoint is the URL at which clients reach it.
func (s *Server) Endpoint() string { return s.cfg.ClientURLs[0] }

// Client is a client of it, over TCP, that sees all keys and is closed when the test ends.
func (s *Server) Client(opts ...ClientOption) *clientv3.Client {
	s.tb.Helper()
	return newClient(s.tb, []string{s.Endpoint()}, opts)
}

// Proxy is a new proxy in front of it. It stays when the server is stopped and started again.
func (s *Server) Proxy() *Proxy {
	s.tb.Helper()
	return NewProxy(s.tb, s.Endpoint())
}
