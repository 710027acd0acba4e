package grpcfence_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/grpcfence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	put   = "/test.Accounts/Put" // a unary call, as are the next two
	get   = "/test.Accounts/Get"
	seal  = "/test.Accounts/Seal"
	watch = "/test.Accounts/Watch" // a stream of messages to the client
	feed  = "/test.Accounts/Feed"  // a stream of messages from the client, and an echo of each
)

// accounts is a service whose messages are strings. put is for all unary calls; what is nil isn't called.
type accounts struct {
	put   func(ctx context.Context, account string) error
	watch func(account string, s grpc.ServerStream) error
	feed  func(s grpc.ServerStream) error
}

// desc is what a compiler of proto files would write.
var desc = grpc.ServiceDesc{
	ServiceName: "test.Accounts",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{unary("Put"), unary("Get"), unary("Seal")},
	Streams: []grpc.StreamDesc{
		{StreamName: "Watch", ServerStreams: true, Handler: func(srv any, s grpc.ServerStream) error {
			req := new(wrapperspb.StringValue)
			if err := s.RecvMsg(req); err != nil {
				return err
			}
			return srv.(*accounts).watch(req.GetValue(), s)
		}},
		{StreamName: "Feed", ServerStreams: true, ClientStreams: true, Handler: func(srv any, s grpc.ServerStream) error {
			return srv.(*accounts).feed(s)
		}},
	},
}

func unary(name string) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, dec func(any) error, by grpc.UnaryServerInterceptor) (any, error) {
		req := new(wrapperspb.StringValue)
		if err := dec(req); err != nil {
			return nil, err
		}
		return by(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/test.Accounts/" + name}, func(ctx context.Context, req any) (any, error) {
			return wrapperspb.String("done"), srv.(*accounts).put(ctx, text(req))
		})
	}}
}

func text(req any) string {
	s, _ := req.(*wrapperspb.StringValue)
	return s.GetValue()
}

// about is what the service says: a call is about the account that its message names, and a feed about lock/a.
func about(_ context.Context, method string, req any) string {
	if method == feed && req == nil {
		return "lock/a"
	}
	return text(req)
}

func serve(tb testing.TB, gate fencing.Gate, srv *accounts, opts ...grpcfence.Option) func(...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	return serveAbout(tb, gate, srv, about, opts...)
}

// serveAbout runs the service behind the interceptors, and returns what connects to it.
func serveAbout(tb testing.TB, gate fencing.Gate, srv *accounts, about grpcfence.Resource, opts ...grpcfence.Option) func(...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(
		grpc.UnaryInterceptor(grpcfence.UnaryServerInterceptor(gate, about, opts...)),
		grpc.StreamInterceptor(grpcfence.StreamServerInterceptor(gate, about, opts...)))
	server.RegisterService(&desc, srv)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tb.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	return func(opts ...grpc.DialOption) *grpc.ClientConn {
		tb.Helper()
		conn, err := grpc.NewClient("passthrough:///accounts", append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conn.Close() })
		return conn
	}
}

func fenced() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithUnaryInterceptor(grpcfence.UnaryClientInterceptor()),
		grpc.WithStreamInterceptor(grpcfence.StreamClientInterceptor()),
	}
}

func doPut(ctx context.Context, conn *grpc.ClientConn, account string) error {
	return conn.Invoke(ctx, put, wrapperspb.String(account), new(wrapperspb.StringValue))
}

func doSeal(ctx context.Context, conn *grpc.ClientConn, account string) error {
	return conn.Invoke(ctx, seal, wrapperspb.String(account), new(wrapperspb.StringValue))
}

// doWatch returns how many messages came before the end of the stream.
func doWatch(ctx context.Context, conn *grpc.ClientConn, account string) (n int, err error) {
	s, err := conn.NewStream(ctx, &desc.Streams[0], watch)
	if err != nil {
		return 0, err
	}
	if err := s.SendMsg(wrapperspb.String(account)); err != nil {
		return 0, err
	}
	if err := s.CloseSend(); err != nil {
		return 0, err
	}
	for ; ; n++ {
		if err := s.RecvMsg(new(wrapperspb.StringValue)); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return n, err
		}
	}
}

func claim(resource string, rev int64) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: fencing.FromRevision(rev)}
}

func shared(resource string, rev int64) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: fencing.FromRevision(rev), Mode: fencing.Shared}
}
