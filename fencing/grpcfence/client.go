package grpcfence

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/stile-dev/stile/fencing"
)

// UnaryClientInterceptor returns an interceptor that sends each call with the claim that its
// context carries, and gives a guard's refusal back as an error of package fencing. A value of Key
// that is in the outgoing metadata already is replaced.
//
// It fails closed. A call whose context carries no claim, several and no fencing.For to choose
// among them, or one whose hold has ended, is not sent: the error is that of fencing.FromContext,
// with the code INVALID_ARGUMENT, or FAILED_PRECONDITION for a hold that has ended. So pass the
// hold's context, and use another connection for what needs no hold.
func UnaryClientInterceptor() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		ctx, claim, err := outgoing(ctx)
		if err != nil {
			return unsent(err)
		}
		return understand(invoke(ctx, method, req, reply, cc, opts...), claim)
	}
}

// StreamClientInterceptor does for streams what UnaryClientInterceptor does for calls. The claim
// is sent once, when the stream begins; a refusal comes from RecvMsg, as every status does.
func StreamClientInterceptor() grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		ctx, claim, err := outgoing(ctx)
		if err != nil {
			return nil, unsent(err)
		}
		s, err := open(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, understand(err, claim)
		}
		return clientStream{s, claim}, nil
	}
}

// unsent gives the error of a call that was not sent a code.
func unsent(err error) error {
	code := codes.InvalidArgument
	if errors.Is(err, fencing.ErrEnded) {
		code = codes.FailedPrecondition
	}
	return &refusal{status: status.New(code, err.Error()), cause: err}
}

type clientStream struct {
	grpc.ClientStream
	claim fencing.Claim // what was sent
}

func (s clientStream) RecvMsg(m any) error { return understand(s.ClientStream.RecvMsg(m), s.claim) }

func (s clientStream) SendMsg(m any) error { return understand(s.ClientStream.SendMsg(m), s.claim) }

func (s clientStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, understand(err, s.claim)
}
