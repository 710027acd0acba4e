package server

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// newLocalClient returns a client that calls conn. Its fields are set once, here, so that it may be
// handed out, and wrapped (clientv3/namespace), before the server runs.
func newLocalClient(conn *localConn, log *zap.Logger) *clientv3.Client {
	c := clientv3.NewCtxClient(context.Background(), clientv3.WithZapLogger(log))
	c.KV = clientv3.NewKVFromKVClient(pb.NewKVClient(conn), c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(pb.NewLeaseClient(conn), c, time.Second)
	c.Watcher = clientv3.NewWatchFromWatchClient(pb.NewWatchClient(conn), c)
	c.Cluster = clientv3.NewClusterFromClusterClient(pb.NewClusterClient(conn), c)
	c.Maintenance = clientv3.NewMaintenanceFromMaintenanceClient(pb.NewMaintenanceClient(conn), c)
	c.Auth = clientv3.NewAuthFromAuthClient(pb.NewAuthClient(conn), c)
	return c
}

// errNotStarted isn't Unavailable, which etcd's client would wait out: for ever, in a constructor that
// runs before Start.
var errNotStarted = status.Error(codes.FailedPrecondition, "server: not started")

// localConn is a gRPC connection that calls etcd's service functions directly. It does what etcd's own
// v3client does, but is there before the server, which fx constructors need, and ends with it.
type localConn struct {
	methods atomic.Pointer[methods] // nil before open
	ctx     context.Context         // ends with close
	cancel  context.CancelFunc
	calls   sync.WaitGroup // the handlers of streams

	mu     sync.Mutex // orders calls.Add before calls.Wait
	closed bool
}

func newLocalConn() *localConn {
	ctx, cancel := context.WithCancel(context.Background())
	return &localConn{ctx: ctx, cancel: cancel}
}

// open connects it to a running server.
func (c *localConn) open(s *etcdserver.EtcdServer) {
	m := &methods{unary: map[string]unaryMethod{}, stream: map[string]streamMethod{}}
	m.add(&pb.KV_ServiceDesc, v3rpc.NewQuotaKVServer(s))
	m.add(&pb.Lease_ServiceDesc, v3rpc.NewQuotaLeaseServer(s))
	m.add(&pb.Watch_ServiceDesc, v3rpc.NewWatchServer(s))
	m.add(&pb.Cluster_ServiceDesc, v3rpc.NewClusterServer(s))
	m.add(&pb.Maintenance_ServiceDesc, newMaintenance(s))
	m.add(&pb.Auth_ServiceDesc, v3rpc.NewAuthServer(s))
	c.methods.Store(m)
}

// close ends every call that is under way, and refuses new ones.
func (c *localConn) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
}

// wait returns when no handler of a stream runs any more.
func (c *localConn) wait() { c.calls.Wait() }

// methods are the services' functions by full name.
type methods struct {
	unary  map[string]unaryMethod
	stream map[string]streamMethod
}

type unaryMethod struct {
	desc grpc.MethodDesc
	srv  any
}

type streamMethod struct {
	desc grpc.StreamDesc
	srv  any
}

func (m *methods) add(d *grpc.ServiceDesc, srv any) {
	for _, desc := range d.Methods {
		m.unary["/"+d.ServiceName+"/"+desc.MethodName] = unaryMethod{desc, srv}
	}
	for _, desc := range d.Streams {
		m.stream["/"+d.ServiceName+"/"+desc.StreamName] = streamMethod{desc, srv}
	}
}

// Invoke calls one request-response method.
func (c *localConn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	m, err := c.ready()
	if err != nil {
		return err
	}
	u, ok := m.unary[method]
	if !ok {
		return status.Errorf(codes.Unimplemented, "server: unknown method %s", method)
	}
	ctx, cancel := c.callContext(ctx)
	defer cancel()
	// The interceptor passes the request as it is; otherwise it would be copied.
	direct := func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		return h(ctx, args)
	}
	resp, err := u.desc.Handler(u.srv, ctx, func(any) error { return nil }, direct)
	if err != nil {
		return c.reason(err)
	}
	return merge(reply, resp)
}

// ready returns the methods, or why there are none.
func (c *localConn) ready() (*methods, error) {
	if c.ctx.Err() != nil {
		return nil, rpctypes.ErrGRPCStopped
	}
	m := c.methods.Load()
	if m == nil {
		return nil, errNotStarted
	}
	return m, nil
}

// callContext is what a server would see of ctx: the metadata that the client sends, and a peer
// without a certificate, whatever request the caller may be serving itself with that ctx.
func (c *localConn) callContext(ctx context.Context) (context.Context, context.CancelFunc) {
	md, _ := metadata.FromOutgoingContext(ctx)
	ctx = metadata.NewIncomingContext(ctx, md)
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: localAddr{}})
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// reason is what the caller should hear: a call that close ended was not cancelled by the caller.
func (c *localConn) reason(err error) error {
	if err != nil && c.ctx.Err() != nil {
		return rpctypes.ErrGRPCStopped
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}

type localAddr struct{}

func (localAddr) Network() string { return "local" }
func (localAddr) String() string  { return "in-process" }

var _ net.Addr = localAddr{}
