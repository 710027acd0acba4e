package retry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrUnavailable says that etcd could not be reached, or gave no answer in time. Package session exports it.
var ErrUnavailable = errors.New("etcd is unavailable")

// NoAnswer is the cause for a limit of our own to what etcd does. It is not the caller's deadline, and does not pass for one.
func NoAnswer(within time.Duration) error {
	return fmt.Errorf("%w: no answer within %v", ErrUnavailable, within)
}

// Why is why ctx ended, as an error that also Is ctx.Err() unless the limit was one of our own (NoAnswer); nil if it hasn't.
func Why(ctx context.Context) error {
	cause, err := context.Cause(ctx), ctx.Err()
	if errors.Is(cause, err) || errors.Is(cause, ErrUnavailable) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Answer says what the error of a request with this ctx means: gRPC knows that ctx ended, but not why. Whatever is etcd's absence
// Is ErrUnavailable.
func Answer(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case err == nil || Refused(err):
		return err
	case cause == nil && Temporary(err) && !errors.Is(err, ErrUnavailable):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case cause == nil:
		return err
	case errors.Is(cause, context.DeadlineExceeded) && !errors.Is(cause, ErrUnavailable):
		return fmt.Errorf("%w: %w, no answer in time", cause, ErrUnavailable)
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(cause, ErrUnavailable): // the caller's, with a cause of its own
		return fmt.Errorf("%w: %w: %w, no answer in time", ctx.Err(), cause, ErrUnavailable)
	}
	return cause
}
