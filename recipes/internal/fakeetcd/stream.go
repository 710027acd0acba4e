package fakeetcd

import (
	"context"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

type leaseClient struct{ conn *Conn }

func (l leaseClient) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest, _ ...grpc.CallOption) (*pb.LeaseGrantResponse, error) {
	return call(ctx, l.conn, Message{What: "grant"}, func() (*pb.LeaseGrantResponse, error) { return l.conn.server.grant(r) })
}

func (l leaseClient) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest, _ ...grpc.CallOption) (*pb.LeaseRevokeResponse, error) {
	return call(ctx, l.conn, Message{What: "revoke", About: fmt.Sprint(r.ID)}, func() (*pb.LeaseRevokeResponse, error) {
		return l.conn.server.revoke(r, l.conn.name)
	})
}

func (l leaseClient) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest, _ ...grpc.CallOption) (*pb.LeaseTimeToLiveResponse, error) {
	return call(ctx, l.conn, Message{What: "ttl", About: fmt.Sprint(r.ID)}, func() (*pb.LeaseTimeToLiveResponse, error) {
		return l.conn.server.timeToLive(r), nil
	})
}

func (l leaseClient) LeaseLeases(ctx context.Context, _ *pb.LeaseLeasesRequest, _ ...grpc.CallOption) (*pb.LeaseLeasesResponse, error) {
	return call(ctx, l.conn, Message{What: "leases"}, func() (*pb.LeaseLeasesResponse, error) { return l.conn.server.listLeases(), nil })
}

func (l leaseClient) LeaseKeepAlive(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse], error) {
	c := l.conn
	st := newStream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse](ctx, c)
	st.handle = func(r *pb.LeaseKeepAliveRequest) {
		m := Message{What: "renew", About: fmt.Sprint(r.ID), Stream: st.id}
		c.net.Up(ctx, m, func() {
			if err := c.renewed(ctx, r.ID, func(resp *pb.LeaseKeepAliveResponse) { c.net.Down(m, func() { st.push(resp) }) }); err != nil {
				c.net.Down(m, func() { st.fail(err) })
			}
		})
	}
	return st, nil
}

// renewed renews a lease, by the leader or by the old one that the connection still has. The header is of before: a renewal that
// etcd answered says nothing of later revisions.
func (c *Conn) renewed(ctx context.Context, id int64, answer func(*pb.LeaseKeepAliveResponse)) error {
	err := c.server.do(ctx, func() {
		header := c.server.header(0)
		renew := c.server.renew
		if c.behind != nil {
			renew, header.RaftTerm = c.behind.renew, c.behind.term
		}
		renew(id, func(ttl int64) { answer(&pb.LeaseKeepAliveResponse{Header: header, ID: id, TTL: ttl}) })
	})
	if err == errNoAnswer { //nolint:errorlint // it is our own, and means silence
		return nil
	}
	return err
}

type watchClient struct{ conn *Conn }

func (w watchClient) Watch(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse], error) {
	c, s := w.conn, w.conn.server
	st := newStream[pb.WatchRequest, pb.WatchResponse](ctx, c)
	m := Message{What: "watch", Stream: st.id}
	ws := &watchStream{wantsLeader: wantsLeader(ctx)}
	ws.send = func(resp *pb.WatchResponse) {
		m := m
		if len(resp.Events) > 0 {
			m.What, m.About = "event", string(resp.Events[0].Kv.Key)
		}
		c.net.Down(m, func() { st.push(resp) })
	}
	ws.fail = func(err error) {
		s.drop(ws)
		c.net.Down(m, func() { st.fail(err) })
	}
	opened := false
	st.handle = func(r *pb.WatchRequest) {
		c.net.Up(ctx, m, func() {
			err := s.do(ctx, func() {
				if c.cutOff() || ctx.Err() != nil {
					return
				}
				if !opened {
					opened = true
					s.open(ws)
				}
				s.watchRequest(ws, r)
			})
			if err != nil && wantsLeader(ctx) {
				c.net.Down(m, func() { st.fail(err) })
			}
		})
	}
	st.ended = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(ws)
	}
	context.AfterFunc(ctx, st.gone)
	return st, nil
}

// stream is the client's end of a stream.
type stream[Req, Resp any] struct {
	grpc.ClientStream
	ctx    context.Context // gRPC's streams have one
	id     int64
	broken <-chan struct{}
	handle func(*Req) // sends a message on its way
	ended  func()     // when the client has left, or nil

	mu    sync.Mutex
	queue []*Resp
	err   error // when the queue is empty
	more  chan struct{}
	leave sync.Once
}

func newStream[Req, Resp any](ctx context.Context, c *Conn) *stream[Req, Resp] {
	return &stream[Req, Resp]{ctx: ctx, id: c.nextStream(), broken: c.whole(), more: make(chan struct{}, 1)}
}

func (st *stream[Req, Resp]) gone() {
	if st.ended != nil {
		st.leave.Do(st.ended)
	}
}

func (st *stream[Req, Resp]) Send(r *Req) error {
	select {
	case <-st.ctx.Done():
		return status.FromContextError(st.ctx.Err()).Err()
	case <-st.broken:
		return errBroken
	default:
	}
	st.handle(r)
	return nil
}

func (st *stream[Req, Resp]) CloseSend() error { return nil }

func (st *stream[Req, Resp]) Context() context.Context { return st.ctx }

func (st *stream[Req, Resp]) push(resp *Resp) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.queue = append(st.queue, resp)
	st.wake()
}

func (st *stream[Req, Resp]) fail(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.err = err
	st.wake()
}

func (st *stream[Req, Resp]) wake() {
	select {
	case st.more <- struct{}{}:
	default:
	}
}

func (st *stream[Req, Resp]) next() (*Resp, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.queue) == 0 {
		return nil, st.err
	}
	resp := st.queue[0]
	st.queue = st.queue[1:]
	return resp, nil
}

// Recv is called by one goroutine at a time.
func (st *stream[Req, Resp]) Recv() (*Resp, error) {
	for {
		resp, err := st.next()
		if resp != nil {
			return resp, nil
		}
		if err != nil {
			st.gone()
			return nil, err
		}
		select {
		case <-st.more:
		case <-st.ctx.Done():
			return nil, status.FromContextError(st.ctx.Err()).Err()
		case <-st.broken:
			st.gone()
			return nil, errBroken
		}
	}
}
