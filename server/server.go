package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// closeTimeout bounds Close.
const closeTimeout = 5 * time.Second

var errClosed = errors.New("closed")

// Server is one etcd member in this process. Make one with Start, or with New when the client is
// needed before the server runs. A Server runs once: to restart, make another on the same DataDir.
type Server struct {
	settings settings
	guard    *startGuard
	log      *zap.Logger
	conn     *localConn
	client   *clientv3.Client
	tune     func(*embed.Config) // for tests

	mu       sync.Mutex
	started  bool          // Start was called
	closing  bool          // Close was called
	idle     chan struct{} // closed while no Start is under way
	cancel   context.CancelCauseFunc
	node     *node // what Start made
	err      error // why etcd stopped by itself
	closeErr error

	done     chan struct{} // closed when the server no longer serves
	doneOnce sync.Once
	closed   chan struct{} // closed when Close has finished
}

// Start makes a server and starts it.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// New checks cfg as a whole and returns a server that isn't running yet. It touches nothing outside
// this process and holds nothing that needs a Close.
func New(cfg Config) (*Server, error) {
	settings, err := check(cfg)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s := &Server{settings: settings, guard: new(startGuard), done: make(chan struct{}), closed: make(chan struct{}), idle: make(chan struct{})}
	close(s.idle)
	s.log = newZap(cfg.Logger, s.guard)
	s.conn = newLocalConn()
	s.client = newLocalClient(s.conn, s.log)
	return s, nil
}

// Start returns once the server serves, or with an error after which nothing is left of the attempt. A
// member of a cluster serves when most members run, so it waits for them: start them at one time.
// ctx bounds the start only; etcd's reading of a large store can't be interrupted, nor its questions to
// the members of a cluster that it joins (up to 10 s each), so an ended ctx is obeyed after it.
func (s *Server) Start(ctx context.Context) error {
	ctx, finish, err := s.begin(ctx)
	if err != nil {
		return fmt.Errorf("server: start: %w", err)
	}
	n, err := startNode(ctx, s)
	finish(n)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// begin makes the one attempt to start, unless Close came first. Close may cancel it.
func (s *Server) begin(ctx context.Context) (context.Context, func(*node), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, nil, errClosed
	}
	if s.started {
		return nil, nil, errors.New("started before: a Server runs once")
	}
	s.started = true
	idle := make(chan struct{})
	s.idle = idle
	ctx, cancel := context.WithCancelCause(ctx)
	s.cancel = cancel
	finish := func(n *node) {
		s.mu.Lock()
		s.node = n
		s.mu.Unlock()
		if n != nil {
			n.watch(s.stopped)
		}
		cancel(nil)
		close(idle)
	}
	return ctx, finish, nil
}

// stopped is called when the server no longer serves, with the reason unless it was asked to stop.
func (s *Server) stopped(err error) {
	s.doneOnce.Do(func() {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		close(s.done)
	})
}

// Client returns the client that talks to the member without a socket: always the same one, from New
// on, so that it can be handed out and wrapped earlier. Its calls work once Start has returned; before,
// they fail with the gRPC status FailedPrecondition, and after Close with etcd's ErrStopped. Close
// closes it. It has no endpoints and no connection, so the methods that dial (Dial, Sync) don't apply.
func (s *Server) Client() *clientv3.Client { return s.client }

// Endpoints returns the URLs at which clients reach the server, with the real ports; none before
// Start has returned. An address that stands for all addresses is given as loopback.
func (s *Server) Endpoints() []string {
	n := s.running()
	if n == nil {
		return nil
	}
	var out []string
	for _, l := range n.clients {
		out = append(out, l.url.String())
	}
	return out
}

// HTTPEndpoint returns the URL of the HTTP port, "" if it is off or Start hasn't returned.
func (s *Server) HTTPEndpoint() string {
	if n := s.running(); n != nil && n.httpListener != nil {
		return n.httpListener.url.String()
	}
	return ""
}

// DataDir returns the directory that holds the data: Config.DataDir, or the temporary one, which is ""
// before Start has returned.
func (s *Server) DataDir() string {
	if n := s.running(); n != nil {
		return n.dir.path
	}
	return s.settings.DataDir
}

// MemberID returns the id of this member in the cluster, as Client's MemberList shows it; 0 before Start
// has returned.
func (s *Server) MemberID() uint64 {
	if n := s.running(); n != nil {
		return uint64(n.etcd.Server.MemberID())
	}
	return 0
}

// Leader returns the id of the member that this one follows, which may be itself; 0 when it knows of no
// leader, and before Start has returned. What it knows may be old: a leader that was cut off takes up to
// two election timeouts to notice. The leader's Client moves leadership, with MoveLeader.
func (s *Server) Leader() uint64 {
	if n := s.running(); n != nil {
		return n.etcd.Server.Lead()
	}
	return 0
}

// Done is closed when the server no longer serves, because Close was called or because it failed.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why the server stopped by itself: nil while it runs, and when it was closed. Close is
// still needed after such an end.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Server) running() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}
