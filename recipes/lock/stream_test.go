package lock_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// watchStreams counts the streams that a client opens for its watches.
type watchStreams struct{ opened, ended atomic.Int64 }

type isWatch struct{}

func (*watchStreams) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, isWatch{}, strings.HasSuffix(info.FullMethodName, "/Watch"))
}

func (w *watchStreams) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if watch, _ := ctx.Value(isWatch{}).(bool); !watch {
		return
	}
	switch s.(type) {
	case *stats.Begin:
		w.opened.Add(1)
	case *stats.End:
		w.ended.Add(1)
	}
}

func (*watchStreams) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (*watchStreams) HandleConn(context.Context, stats.ConnStats) {}

// TestOneStreamServesManyWaits: sessions that wait again and again, one wait at a time, don't open a watch stream for each, and have
// none when they have not waited for a while.
func TestOneStreamServesManyWaits(t *testing.T) {
	const turns = 200
	var streams [2]watchStreams
	var wg sync.WaitGroup
	for i := range streams {
		c, err := clientv3.New(clientv3.Config{
			Endpoints: []string{recipestest.Endpoint(t)}, Logger: zap.NewNop(),
			DialOptions: []grpc.DialOption{grpc.WithStatsHandler(&streams[i])},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		s := open(t, c, session.Root("/"+t.Name()))
		wg.Go(func() {
			for range turns {
				if err := lock.Do(t.Context(), s, "x", func(context.Context) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range streams {
		// The first, which was not held; more if the machine stood still for as long as one stays.
		if n := streams[i].opened.Load(); n == 0 || n > turns/10 {
			t.Errorf("session %d: %d streams for %d turns, want a few", i, n, turns)
		}
		eventually(t, "the end of the stream", func() bool { return streams[i].ended.Load() == streams[i].opened.Load() })
	}
}
