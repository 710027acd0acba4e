package grpcfence_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/fencingtest"
	"github.com/stile-dev/stile/fencing/grpcfence"
)

// remote is a gate at the other end of a connection: each of its methods is a call.
type remote struct{ conn *grpc.ClientConn }

func (g remote) Check(ctx context.Context) error     { return g.ask(ctx, put, "") }
func (g remote) CheckRead(ctx context.Context) error { return g.ask(ctx, get, "") }
func (g remote) Seal(ctx context.Context) error      { return g.ask(ctx, seal, "") }

// ask knows from the claim alone what the call is about.
func (g remote) ask(ctx context.Context, method, value string) error {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		return err
	}
	err = g.conn.Invoke(ctx, method, wrapperspb.String(value+":"+claim.Resource), new(wrapperspb.StringValue))
	if ctx.Err() != nil {
		return ctx.Err() // a status says so too, but isn't it
	}
	return err
}

// TestInterceptorsKeepTheContract: over the wire nothing is lost of what a gate promises.
func TestInterceptorsKeepTheContract(t *testing.T) {
	fencingtest.Run(t, func(tb testing.TB) fencingtest.Guard {
		tb.Helper()
		var gate fencing.Memory
		var kept atomic.Value // written under the gate's turn, read without
		kept.Store("")
		srv := &accounts{put: func(ctx context.Context, req string) error {
			value, _, _ := strings.Cut(req, ":")
			if value == "" {
				return nil // Check, CheckRead or Seal: the interceptor has done it
			}
			// The second step, in the handler: check and write under one turn of the gate.
			return gate.Do(ctx, func() error { kept.Store(value); return nil })
		}}
		g := remote{serveAbout(tb, &gate, srv, func(_ context.Context, _ string, req any) string {
			_, resource, _ := strings.Cut(text(req), ":")
			return resource
		}, grpcfence.Reads(func(m string) bool { return m == get }), grpcfence.Seals(func(m string) bool { return m == seal }))(fenced()...)}
		return fencingtest.Guard{
			Gate:  g,
			Write: func(ctx context.Context, v string) error { return g.ask(ctx, put, v) },
			Read:  func(context.Context) (string, error) { return kept.Load().(string), nil },
		}
	})
}
