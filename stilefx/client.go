package stilefx

import (
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"
	"go.uber.org/zap"
)

// Client provides a *clientv3.Client, closed when the application stops. It doesn't connect before it is used (except to
// log in or to look at the cluster's version, if cfg asks for that). It logs nothing unless cfg says where.
//
// fx closes only what has had its turn to start: when something before the client fails to start, the client, which
// has not connected yet, stays until the process ends.
func Client(cfg clientv3.Config) fx.Option {
	if cfg.Logger == nil && cfg.LogConfig == nil {
		cfg.Logger = zap.NewNop()
	}
	return fx.Provide(func(lc fx.Lifecycle) (*clientv3.Client, error) {
		client, err := clientv3.New(cfg)
		if err != nil {
			return nil, fmt.Errorf("etcd client: %w", err)
		}
		lc.Append(fx.StopHook(func() error {
			if err := client.Close(); err != nil {
				return fmt.Errorf("etcd client: close: %w", err)
			}
			return nil
		}))
		return client, nil
	})
}
