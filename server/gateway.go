package server

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"

	gwruntime "github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	etcdgw "go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	electiongw "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb/gw"
	lockgw "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
)

// gateway translates JSON over HTTP to gRPC. It speaks to a gRPC server of its own over memory, which
// refuses what the others refuse, and needs neither a port nor a certificate.
type gateway struct {
	http.Handler
	conn   *grpc.ClientConn
	cancel context.CancelFunc
}

func (n *node) newGateway(s *Server) (*gateway, error) {
	pipe := bufconn.Listen(64 << 10)
	gs := n.newGRPC(nil, s.client)
	n.run("the gateway", func() error { return gs.Serve(pipe) })
	conn, err := grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &gateway{conn: conn, cancel: cancel}
	g.Handler, err = gatewayMux(ctx, conn)
	if err != nil {
		g.close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return g, nil
}

// gatewayMux has etcd's own JSON: field names as in its protobufs, unknown fields ignored.
func gatewayMux(ctx context.Context, conn *grpc.ClientConn) (http.Handler, error) {
	mux := gwruntime.NewServeMux(gwruntime.WithMarshalerOption(gwruntime.MIMEWildcard, &gwruntime.HTTPBodyMarshaler{
		Marshaler: &gwruntime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		},
	}))
	for _, register := range []func(context.Context, *gwruntime.ServeMux, *grpc.ClientConn) error{
		etcdgw.RegisterKVHandler, etcdgw.RegisterWatchHandler, etcdgw.RegisterLeaseHandler,
		etcdgw.RegisterClusterHandler, etcdgw.RegisterMaintenanceHandler, etcdgw.RegisterAuthHandler,
		lockgw.RegisterLockHandler, electiongw.RegisterElectionHandler, // so that the refusal says why
	} {
		if err := register(ctx, mux, conn); err != nil {
			return nil, err
		}
	}
	return mux, nil
}

func (g *gateway) close() {
	g.cancel()
	_ = g.conn.Close()
}
