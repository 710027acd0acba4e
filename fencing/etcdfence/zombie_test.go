package etcdfence_test

import (
	"context"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing/etcdfence"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestAZombieIsRefused: a lock on a real etcd, lost by a holder that is stopped after it has read.
func TestAZombieIsRefused(t *testing.T) {
	for name, guard := range map[string]func(client *clientv3.Client) (seal func(context.Context) error, write func(ctx context.Context, v string) error){
		"KV": func(client *clientv3.Client) (func(context.Context) error, func(context.Context, string) error) {
			return func(context.Context) error { return nil }, func(ctx context.Context, v string) error {
				_, err := etcdfence.NewKV(client).Put(ctx, "value", v)
				return err
			}
		},
		"Gate": func(client *clientv3.Client) (func(context.Context) error, func(context.Context, string) error) {
			gate := etcdfence.NewGate(client, "fence/")
			return gate.Seal, func(ctx context.Context, v string) error {
				_, err := gate.Txn(ctx).Then(clientv3.OpPut("value", v)).Commit()
				return err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := recipestest.Client(t)
			seal, write := guard(client)
			under := func(act func(ctx context.Context) error) error {
				s, err := session.Open(t.Context(), client)
				if err != nil {
					return err
				}
				defer s.Close(context.Background())
				return lock.Do(t.Context(), s, "account/1", func(ctx context.Context) error {
					if err := seal(ctx); err != nil {
						return err
					}
					return act(ctx)
				})
			}
			recipestest.Zombie(t, client, func(pause recipestest.Pause) error {
				return under(func(ctx context.Context) error { return write(pause(ctx), "late") })
			}, func() error {
				return under(func(ctx context.Context) error { return write(ctx, "next") })
			})
			wantValue(t, client, "value", "next")
		})
	}
}
