package server

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// drain ends streams on demand: watches and lease keep-alives have no end of their own, and a server
// that waited for them would never stop.
type drain struct {
	ctx   context.Context
	begin context.CancelFunc
}

func newDrain() *drain {
	ctx, cancel := context.WithCancel(context.Background())
	return &drain{ctx, cancel}
}

// stream is an interceptor. The client of a stream that it ends gets Unavailable, as from a server
// that went away: it then tries again, rather than to believe that its watch was cancelled.
func (d *drain) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	err := handler(srv, drained{ss, ctx})
	if err != nil && d.ctx.Err() != nil {
		return rpctypes.ErrGRPCStopped
	}
	return err
}

type drained struct {
	grpc.ServerStream
	ctx context.Context
}

func (s drained) Context() context.Context { return s.ctx }
