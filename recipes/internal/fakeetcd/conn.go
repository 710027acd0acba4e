package fakeetcd

import (
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Message is on its way between a client and the server.
type Message struct {
	What   string // "txn", "renew", "watch", ...
	About  string // a key or a lease, to tell messages of one instant apart
	Stream int64  // those of one stream and one direction have to arrive in order; 0: it is one of no stream
}

// A Network is what stands between one client and the server. It calls arrive when the message is there, once or never.
type Network interface {
	// Up carries a message to the server. The client waits until it returns; ctx is the request's, or its stream's.
	Up(ctx context.Context, m Message, arrive func())
	// Down carries one to the client. The server is locked meanwhile.
	Down(m Message, arrive func())
}

// Direct is a network that takes no time.
type Direct struct{}

// Up arrives at once.
func (Direct) Up(_ context.Context, _ Message, arrive func()) { arrive() }

// Down arrives at once.
func (Direct) Down(_ Message, arrive func()) { arrive() }

// A Conn is one client's connection to the server.
type Conn struct {
	server *Server
	name   string
	net    Network
	behind *oldLeader // guarded by the server's lock

	mu     sync.Mutex
	broken chan struct{} // closed when what is under way breaks
	stream int64
}

// Connect is a connection by the name of name, which the log will have.
func (s *Server) Connect(name string, net Network) *Conn {
	return &Conn{server: s, name: name, net: net, broken: make(chan struct{})}
}

// Client is an etcd client on the connection. It has KV, Lease and Watcher only.
func (c *Conn) Client() *clientv3.Client {
	client := clientv3.NewCtxClient(context.Background())
	client.KV = clientv3.NewKVFromKVClient(kvClient{c}, client)
	client.Lease = clientv3.NewLeaseFromLeaseClient(leaseClient{c}, client, 0)
	client.Watcher = clientv3.NewWatchFromWatchClient(watchClient{c}, client)
	return client
}

// Break breaks the connection: every request under way fails, applied or not, and every stream. A new one is there at once.
func (c *Conn) Break() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.broken)
	c.broken = make(chan struct{})
}

func (c *Conn) whole() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

func (c *Conn) nextStream() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream++
	return c.stream
}

// errBroken is what gRPC says of a connection that broke.
var errBroken = status.Error(codes.Unavailable, "transport is closing")

type answer[T any] struct {
	resp T
	err  error
}

// call sends one request and waits for its answer. It may be applied although nobody waits any more.
func call[T any](ctx context.Context, c *Conn, m Message, apply func() (T, error)) (resp T, err error) {
	if ctx.Err() != nil {
		return resp, status.FromContextError(ctx.Err()).Err()
	}
	broken, answered := c.whole(), make(chan answer[T], 1)
	c.net.Up(ctx, m, func() {
		var a answer[T]
		err := c.server.do(ctx, func() {
			if c.cutOff() {
				a.err = errNoAnswer
				return
			}
			a.resp, a.err = apply()
		})
		if err != nil {
			a.err = err
		}
		if !errors.Is(a.err, errNoAnswer) {
			c.net.Down(m, func() { answered <- a })
		}
	})
	select {
	case a := <-answered:
		return a.resp, a.err
	case <-ctx.Done():
		return resp, status.FromContextError(ctx.Err()).Err()
	case <-broken:
		return resp, errBroken
	}
}

type kvClient struct{ conn *Conn }

func (k kvClient) Range(ctx context.Context, r *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	return call(ctx, k.conn, Message{What: "range", About: string(r.Key)}, func() (*pb.RangeResponse, error) { return k.conn.server.get(r) })
}

func (k kvClient) RangeStream(context.Context, *pb.RangeRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	return nil, status.Error(codes.Unimplemented, "the fake has no streams of reads")
}

func (k kvClient) Put(ctx context.Context, r *pb.PutRequest, _ ...grpc.CallOption) (*pb.PutResponse, error) {
	return call(ctx, k.conn, Message{What: "put", About: string(r.Key)}, func() (*pb.PutResponse, error) { return k.conn.server.put(r, k.conn.name) })
}

func (k kvClient) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest, _ ...grpc.CallOption) (*pb.DeleteRangeResponse, error) {
	return call(ctx, k.conn, Message{What: "delete", About: string(r.Key)}, func() (*pb.DeleteRangeResponse, error) {
		return k.conn.server.deleteRange(r, k.conn.name)
	})
}

func (k kvClient) Txn(ctx context.Context, r *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	return call(ctx, k.conn, Message{What: "txn", About: about(r)}, func() (*pb.TxnResponse, error) { return k.conn.server.txn(r, k.conn.name) })
}

// about is the first key that the transaction names.
func about(r *pb.TxnRequest) string {
	if len(r.Compare) > 0 {
		return string(r.Compare[0].Key)
	}
	for _, op := range r.Success {
		switch {
		case op.GetRequestRange() != nil:
			return string(op.GetRequestRange().Key)
		case op.GetRequestTxn() != nil:
			return about(op.GetRequestTxn())
		}
	}
	return ""
}

func (k kvClient) Compact(ctx context.Context, r *pb.CompactionRequest, _ ...grpc.CallOption) (*pb.CompactionResponse, error) {
	return call(ctx, k.conn, Message{What: "compact"}, func() (*pb.CompactionResponse, error) { return k.conn.server.compact(r) })
}
