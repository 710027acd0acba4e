package server

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// sendBuffer is how many requests a stream takes before its sender waits. etcd's watch client sends from
// the goroutine that also takes the answers: without room it and the server can wait for each other
// for ever. A real connection has room for about as many.
const sendBuffer = 1024

// localStream is a stream between a client and a handler in this process.
type localStream struct {
	ctx      context.Context
	toServer chan any
	toClient chan any      // unbuffered: when the handler has returned, all was received
	sent     chan struct{} // closed by CloseSend
	closeOne sync.Once
	done     chan struct{} // closed when the handler has returned
	err      error         // what it returned, valid after done
}

// NewStream calls a streaming method; its handler runs until it ends, ctx ends or the server closes.
func (c *localConn) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	m, err := c.ready()
	if err != nil {
		return nil, err
	}
	sm, ok := m.stream[method]
	if !ok {
		return nil, status.Errorf(codes.Unimplemented, "server: unknown method %s", method)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_, err := c.ready()
		return nil, err
	}
	ctx, cancel := c.callContext(ctx)
	s := &localStream{
		ctx: ctx, toServer: make(chan any, sendBuffer), toClient: make(chan any),
		sent: make(chan struct{}), done: make(chan struct{}),
	}
	c.calls.Go(func() {
		defer cancel()
		defer close(s.done)
		s.err = c.streamEnd(sm.desc.Handler(sm.srv, serverEnd{s}))
	})
	return clientEnd{s}, nil
}

// streamEnd is how the client hears of the handler's return.
func (c *localConn) streamEnd(err error) error {
	if err == nil {
		return io.EOF
	}
	return c.reason(err)
}

// clientEnd is the client's side.
type clientEnd struct{ s *localStream }

func (e clientEnd) SendMsg(m any) error {
	select {
	case <-e.s.done:
		return io.EOF // as gRPC does: RecvMsg tells why
	case e.s.toServer <- m:
		return nil
	case <-e.s.ctx.Done():
		return e.s.ended()
	}
}

func (e clientEnd) RecvMsg(m any) error {
	select {
	case got := <-e.s.toClient:
		return merge(m, got)
	case <-e.s.ctx.Done():
		return e.s.ended()
	}
}

func (e clientEnd) CloseSend() error {
	e.s.closeOne.Do(func() { close(e.s.sent) })
	return nil
}

func (e clientEnd) Context() context.Context     { return e.s.ctx }
func (e clientEnd) Header() (metadata.MD, error) { return nil, nil }
func (e clientEnd) Trailer() metadata.MD         { return nil }

// ended is the reason of a stream whose context has ended. The context also ends when the handler
// returns, which then says more.
func (s *localStream) ended() error {
	select {
	case <-s.done:
		return s.err
	default:
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

// serverEnd is the handler's side.
type serverEnd struct{ s *localStream }

func (e serverEnd) SendMsg(m any) error {
	select {
	case e.s.toClient <- m:
		return nil
	case <-e.s.ctx.Done():
		return status.FromContextError(e.s.ctx.Err()).Err()
	}
}

func (e serverEnd) RecvMsg(m any) error {
	select {
	case got := <-e.s.toServer:
		return merge(m, got)
	case <-e.s.ctx.Done():
		return status.FromContextError(e.s.ctx.Err()).Err()
	case <-e.s.sent:
	}
	select { // what was sent before CloseSend comes first
	case got := <-e.s.toServer:
		return merge(m, got)
	default:
		return io.EOF
	}
}

// merge hands a message over as a copy.
func merge(to, from any) error {
	dst, ok1 := to.(proto.Message)
	src, ok2 := from.(proto.Message)
	if !ok1 || !ok2 {
		return errors.New("not a protobuf message")
	}
	proto.Merge(dst, src)
	return nil
}

func (e serverEnd) Context() context.Context     { return e.s.ctx }
func (e serverEnd) SetHeader(metadata.MD) error  { return nil }
func (e serverEnd) SendHeader(metadata.MD) error { return nil }
func (e serverEnd) SetTrailer(metadata.MD)       {}
