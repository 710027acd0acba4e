package grpcfence

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
)

func (g *guard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	s := &serverStream{ServerStream: ss, call: call{guard: g, method: info.FullMethod}, each: g.each || !info.IsClientStream}
	var err error
	if s.ctx, err = s.call.begin(ss.Context()); err != nil {
		return err
	}
	if info.IsClientStream {
		if err := s.call.admit(s.ctx, nil); err != nil {
			return err
		}
	}
	err = handle(srv, s)
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	return s.call.tell(err)
}

// serverStream is what the handler gets.
type serverStream struct {
	grpc.ServerStream
	call    call
	ctx     context.Context // the handler's
	each    bool            // ask the gate with each message received
	refused atomic.Pointer[error]
}

func (s *serverStream) Context() context.Context { return s.ctx }

func (s *serverStream) RecvMsg(m any) error {
	if refused := s.refused.Load(); refused != nil {
		return *refused
	}
	if err := s.ServerStream.RecvMsg(m); err != nil || !s.each {
		return err
	}
	if err := s.call.admit(s.ctx, m); err != nil {
		s.refused.Store(&err)
		return err
	}
	return nil
}
