package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// serve serves etcd's API on the listeners. embed could do it too, but it mixes gRPC and HTTP on one
// port, always adds its own recipes, and takes 7 s to close while a client stays connected.
func (n *node) serve(s *Server) error {
	var plain, secure *grpc.Server
	for _, l := range n.clients {
		gs := &plain
		if l.url.Scheme == "https" {
			gs = &secure
		}
		if *gs == nil {
			*gs = n.newGRPC(n.tlsFor(l), s.client)
		}
		srv := *gs
		n.run(l.url.Host, func() error { return srv.Serve(l.Listener) })
	}
	if n.httpListener == nil {
		return nil
	}
	return n.serveHTTP(s)
}

func (n *node) tlsFor(l listener) *tls.Config {
	if l.url.Scheme == "https" {
		return n.tls
	}
	return nil
}

func (n *node) newGRPC(tlsConfig *tls.Config, client *clientv3.Client) *grpc.Server {
	gs := v3rpc.Server(n.etcd.Server, tlsConfig, nil,
		grpc.StreamInterceptor(n.drain.stream), // not Chain…: outside of etcd's own, to have the last word
		grpc.UnknownServiceHandler(refuseUnknown),
		grpc.ConnectionTimeout(readHeaderTimeout), // who connects and stays silent holds a file only that long
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: embed.DefaultGRPCKeepAliveMinTime}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: embed.DefaultGRPCKeepAliveInterval, Timeout: embed.DefaultGRPCKeepAliveTimeout}),
	)
	if n.settings.EtcdRecipes {
		v3lockpb.RegisterLockServer(gs, v3lock.NewLockServer(client))
		v3electionpb.RegisterElectionServer(gs, v3election.NewElectionServer(client))
	}
	n.servers = append(n.servers, gs)
	return gs
}

// refuseUnknown answers calls of services that aren't served, etcd's own recipes among them.
func refuseUnknown(_ any, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	if strings.HasPrefix(method, "/v3lockpb.") || strings.HasPrefix(method, "/v3electionpb.") {
		return status.Error(codes.Unimplemented, "server: etcd's own lock and election services are off, because their Unlock deletes any key; Config.EtcdRecipes switches them on")
	}
	return status.Errorf(codes.Unimplemented, "server: unknown method %s", method)
}

// stopServing ends streams, lets requests finish until ctx ends, then cuts every connection.
func (n *node) stopServing(ctx context.Context) {
	n.drain.begin()
	for _, gs := range n.servers {
		stop := context.AfterFunc(ctx, gs.Stop)
		gs.GracefulStop()
		stop()
	}
	if n.http != nil {
		if n.http.Shutdown(ctx) != nil {
			_ = n.http.Close()
		}
	}
	if n.gateway != nil {
		n.gateway.close()
	}
}

// serverTLS reads the certificates; it returns nil without any.
func serverTLS(s settings, log *zap.Logger) (*tls.Config, error) {
	if s.CertFile == "" {
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	cfg, err := tlsInfo(s.Config, log).ServerConfig()
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	cfg.MinVersion = tls.VersionTLS12
	return cfg, nil
}
