package stilefx

import (
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/session"
)

// Module is Client and Session: what an application needs to use the recipes on an etcd that runs elsewhere.
func Module(cfg clientv3.Config, opts ...session.Option) fx.Option {
	return fx.Module("stile", Client(cfg), Session(opts...))
}
