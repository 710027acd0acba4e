package server

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
)

// maintenance is etcd's service, for a client in this process. etcd's Defragment tells the gRPC server that it isn't healthy meanwhile,
// and panics where there is none.
type maintenance struct {
	pb.MaintenanceServer

	etcd *etcdserver.EtcdServer
}

func newMaintenance(s *etcdserver.EtcdServer) maintenance {
	return maintenance{v3rpc.NewMaintenanceServer(s, nil), s}
}

// Defragment is for administrators, as with etcd.
func (m maintenance) Defragment(ctx context.Context, _ *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	user, err := m.etcd.AuthInfoFromCtx(ctx)
	if err == nil {
		err = m.etcd.AuthStore().IsAdminPermitted(user)
	}
	if err != nil {
		return nil, rpctypes.ErrGRPCPermissionDenied
	}
	if err := m.etcd.Defragment(); err != nil {
		return nil, err
	}
	return &pb.DefragmentResponse{}, nil
}
