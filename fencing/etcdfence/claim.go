package etcdfence

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"github.com/stile-dev/stile/fencing"
)

// claim is the one in ctx, if the name of its resource can be part of a key.
func claim(ctx context.Context) (fencing.Claim, error) {
	c, err := fencing.FromContext(ctx)
	if err != nil {
		return fencing.Claim{}, err
	}
	if len(c.Resource) > MaxResource {
		return fencing.Claim{}, fmt.Errorf("etcdfence: %w: the resource has a name of %d bytes, the most is %d",
			fencing.ErrBadClaim, len(c.Resource), MaxResource)
	}
	return c, nil
}

func writer(ctx context.Context) (fencing.Claim, error) {
	c, err := claim(ctx)
	if err != nil {
		return fencing.Claim{}, err
	}
	if c.Mode != fencing.Exclusive {
		return fencing.Claim{}, fmt.Errorf("etcdfence %q: %w", c.Resource, fencing.ErrShared)
	}
	return c, nil
}

var errNil = errors.New("the client is nil")

// ready says why there is no point in sending anything.
func ready(ctx context.Context, kv clientv3.KV) error {
	switch {
	case kv == nil:
		return errNil
	case ctx.Err() != nil:
		return because(ctx, ctx.Err())
	}
	return nil
}

// failed names the act and the resource. A *fencing.StaleError names the resource itself.
func failed(act string, c fencing.Claim, err error) error {
	if err == nil {
		return nil
	}
	if stale, ok := errors.AsType[*fencing.StaleError](err); ok {
		return stale
	}
	return fmt.Errorf("etcdfence %q: %s: %w", c.Resource, act, err)
}

// because adds that ctx has ended, and why, where the client says something else.
func because(ctx context.Context, err error) error {
	for _, why := range []error{ctx.Err(), context.Cause(ctx)} {
		if why != nil && !errors.Is(err, why) {
			err = fmt.Errorf("%w: %w", why, err)
		}
	}
	return err
}

// notDone marks an error with which the caller's own operations were certainly not done.
type notDone struct{ error }

func (n notDone) Unwrap() error { return n.error }

// unlessApplied is the error of what was sent once: unless it certainly was not done, nobody knows.
func unlessApplied(err error) error {
	if _, ok := errors.AsType[notDone](err); ok || refused(err) {
		return err
	}
	return fmt.Errorf("%w: %w", fencing.ErrUnknownOutcome, err)
}

// refused reports whether etcd itself has answered that it did not do it. A code without etcd's name on it may be about the answer.
func refused(err error) bool {
	e, ok := errors.AsType[rpctypes.EtcdError](err)
	if !ok {
		return false
	}
	switch e.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.ResourceExhausted, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return true
	default:
		return false
	}
}
