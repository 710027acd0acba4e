package grpcfence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/stile-dev/stile/fencing"
)

// Resource says which resource a call is about, as a Claim names it ("lock/accounts/7"). It is for
// the service to say: a client that could choose would present a fresh claim on something else.
// "" says that the call is about nothing that is guarded, and it is refused. req is the message of
// the call; it is nil when a stream of messages from the client begins.
type Resource func(ctx context.Context, fullMethod string, req any) string

// UnaryServerInterceptor returns an interceptor that lets a call through to the handler if gate
// admits the claim that it presents. Gate and resource are needed. The handler's context carries the
// claim, and no other one; fencing.FromContext returns it. A call that is refused never reaches the
// handler, and nothing of it is remembered.
func UnaryServerInterceptor(gate fencing.Gate, resource Resource, opts ...Option) grpc.UnaryServerInterceptor {
	g := guard{gate: gate, resource: resource, config: configure(opts)}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if g.except(info.FullMethod) {
			return handle(ctx, req)
		}
		c := call{guard: &g, method: info.FullMethod}
		ctx, err := c.begin(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.admit(ctx, req); err != nil {
			return nil, err
		}
		reply, err := handle(ctx, req)
		return reply, c.tell(err)
	}
}

// StreamServerInterceptor does for streams what UnaryServerInterceptor does for calls. When it asks
// the gate is told in the package's documentation, under Streams. What is received after a refusal is
// that refusal again, and whatever the handler returns then, the client gets it.
func StreamServerInterceptor(gate fencing.Gate, resource Resource, opts ...Option) grpc.StreamServerInterceptor {
	g := guard{gate: gate, resource: resource, config: configure(opts)}
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		if g.except(info.FullMethod) {
			return handle(srv, ss)
		}
		return g.stream(srv, ss, info, handle)
	}
}

type guard struct {
	gate     fencing.Gate
	resource Resource
	config
}

// call is one that is guarded.
type call struct {
	*guard
	method string
	claim  fencing.Claim
}

// begin takes the claim that the call presents, and returns the handler's context.
func (c *call) begin(ctx context.Context) (context.Context, error) {
	claim, err := incoming(ctx)
	if err != nil {
		return nil, c.refuse(ctx, err, "")
	}
	c.claim = claim
	return fencing.For(fencing.NewContext(ctx, claim), claim.Resource), nil
}

// admit asks the gate, with a context of begin.
func (c *call) admit(ctx context.Context, req any) error {
	resource := c.resource(ctx, c.method, req)
	var err error
	switch {
	case resource == "":
		err = fmt.Errorf("fencing: %w", errUnknown)
	case c.claim.Resource != resource:
		err = fmt.Errorf("fencing %q: %w: a claim on %.80q was presented", resource, fencing.ErrNoClaim, c.claim.Resource)
	case c.seals(c.method):
		err = c.gate.Seal(ctx)
	case c.reads(c.method):
		err = c.gate.CheckRead(ctx)
	default:
		err = c.gate.Check(ctx)
	}
	if err != nil {
		return c.refuse(ctx, err, resource)
	}
	return nil
}

func (c *call) refuse(ctx context.Context, err error, resource string) *refusal {
	told := refuse(ctx, err, resource)
	level := slog.LevelWarn
	if told.status.Code() == codes.Unavailable {
		level = slog.LevelError
	}
	c.log.Log(ctx, level, "a call was refused", "method", c.method, "resource", resource, "code", told.status.Code(), "err", err)
	return told
}

// tell gives a handler's own refusal of the claim its status. Any other error is left as it is: a claim that
// is missing behind a guard is the handler's own mistake.
func (c *call) tell(err error) error {
	if !c.concerns(err) {
		return err
	}
	return refuse(context.Background(), err, c.claim.Resource)
}

// concerns reports whether err refuses the call's claim, and not one that the handler has from elsewhere.
func (c *call) concerns(err error) bool {
	stale, ok := errors.AsType[*fencing.StaleError](err)
	return ok && stale.Resource == c.claim.Resource || errors.Is(err, fencing.ErrShared) && c.claim.Mode == fencing.Shared
}
