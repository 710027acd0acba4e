// Package retry says what etcd's answers mean, and which of them settle a request, and waits between attempts at the others.
package retry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Refused reports whether etcd certainly did not apply the request that got this error. Everything else may
// have been applied, or still be.
func Refused(err error) bool {
	var e rpctypes.EtcdError
	if !errors.As(err, &e) {
		return unsent(err) // any other bare gRPC error may be about the answer, even ResourceExhausted
	}
	switch e.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.ResourceExhausted, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return true
	default:
		return false
	}
}

// unsent reports whether gRPC has refused to send the request, because it is too large. A server that doesn't send its answer says "grpc: " before it.
func unsent(err error) bool {
	var e interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &e) {
		return false
	}
	s := e.GRPCStatus()
	return s.Code() == codes.ResourceExhausted && strings.HasPrefix(s.Message(), "trying to send message larger than max")
}

// Temporary reports whether another attempt may fare better: etcd is away, slow, electing, or overloaded.
func Temporary(err error) bool {
	switch {
	case errors.Is(err, errPermanent):
		return false
	case errors.Is(err, rpctypes.ErrTooManyRequests), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrUnavailable):
		return true
	}
	return !Refused(err) && status.Code(err) != codes.Unimplemented
}

// NotApplied reports whether etcd certainly did not apply, and will not, the request that got this error: etcd refused it, or it was
// settled without it. An error that says why somebody stopped waiting for the answer (a context's cause) is not of these, however final.
func NotApplied(err error) bool {
	return Refused(err) || errors.Is(err, errSettled) || status.Code(err) == codes.Unimplemented
}

var (
	errPermanent = errors.New("not worth another attempt")
	errSettled   = errors.New("not applied")
)

// Permanent marks an error that Until shall return at once. Its text and its chain stay those of err.
func Permanent(err error) error {
	return permanent{err}
}

// Settled marks an error that is Permanent, and that was decided before anything was sent, or by an answer: nothing was applied.
func Settled(err error) error {
	return settled{err}
}

type settled struct{ error }

func (s settled) Unwrap() error        { return s.error }
func (s settled) Is(target error) bool { return target == errPermanent || target == errSettled }

type permanent struct{ error }

func (p permanent) Unwrap() error        { return p.error }
func (p permanent) Is(target error) bool { return target == errPermanent }

// Until calls attempt until it returns nil or an error that is not Temporary, with pauses. If ctx ends first, the
// error is the cause of ctx together with that of the last attempt.
func Until(ctx context.Context, attempt func(context.Context) error) error {
	pause := Pauses(ctx)
	for {
		err := attempt(ctx)
		if err == nil || !Temporary(err) {
			return err
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		if Sleep(ctx, pause.NextBackOff()) != nil {
			return ended(ctx, err)
		}
	}
}

// Stubbornly is Until for what must be done in the end, with nobody left to tell that it wasn't: it goes on after refusals as well, since
// those may end (a missing permission, no space). Only an error marked Permanent stops it, or the end of ctx.
func Stubbornly(ctx context.Context, attempt func(context.Context) error) error {
	return Until(ctx, func(ctx context.Context) error {
		err := attempt(ctx)
		if err == nil || errors.Is(err, errPermanent) {
			return err
		}
		return refusedForNow{err}
	})
}

// refusedForNow hides from Until that etcd refused.
type refusedForNow struct{ error }

// ended joins why ctx ended with what the last attempt met, so that the reader learns both.
func ended(ctx context.Context, last error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(last, cause):
		return last
	case errors.Is(last, context.Canceled): // gRPC's, or of a ctx below this one
		return cause
	}
	return fmt.Errorf("%w (last answer: %w)", cause, last)
}

// Sleep waits for d, or until ctx ends; then it returns the cause.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
