package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

func TestWhatAnErrorSays(t *testing.T) {
	type verdict struct {
		err                error
		refused, temporary bool
	}
	for _, c := range []verdict{
		{rpctypes.ErrTimeout, false, true},
		{rpctypes.ErrLeaderChanged, false, true},
		{rpctypes.ErrNoLeader, false, true},
		{rpctypes.ErrTooManyRequests, true, true},
		{rpctypes.ErrNoSpace, true, false},
		{rpctypes.ErrLeaseNotFound, true, false},
		{rpctypes.ErrPermissionDenied, true, false},
		{rpctypes.ErrTooManyOps, true, false},
		{rpctypes.ErrCompacted, true, false},
		{status.Error(codes.Unavailable, "connection refused"), false, true},
		{status.Error(codes.ResourceExhausted, "received message larger than max"), false, true},
		{status.Error(codes.ResourceExhausted, "trying to send message larger than max (3 vs. 2)"), true, false},
		{fmt.Errorf("wrapped: %w", status.Error(codes.ResourceExhausted, "trying to send message larger than max (3 vs. 2)")), true, false},
		{status.Error(codes.ResourceExhausted, "grpc: trying to send message larger than max (3 vs. 2)"), false, true}, // the server, of its answer
		{status.Error(codes.Unimplemented, "unknown service"), false, false},
		{context.DeadlineExceeded, false, true},
		{errors.New("whatever"), false, true},
		{retry.Permanent(errors.New("whatever")), false, false},
		{fmt.Errorf("wrapped: %w", rpctypes.ErrNoSpace), true, false},
		{fmt.Errorf("wrapped: %w", retry.Permanent(errors.New("whatever"))), false, false},
	} {
		if got := retry.Refused(c.err); got != c.refused {
			t.Errorf("Refused(%v) = %v", c.err, got)
		}
		if got := retry.Temporary(c.err); got != c.temporary {
			t.Errorf("Temporary(%v) = %v", c.err, got)
		}
	}
}

// TestWhoStoppedWaitingKnowsNothing: what ended the wait for an answer may be as final as can be; the request may still be applied.
func TestWhoStoppedWaitingKnowsNothing(t *testing.T) {
	for _, c := range []struct {
		err        error
		notApplied bool
	}{
		{retry.Permanent(errors.New("the session is closed")), false},
		{fmt.Errorf("wrapped: %w", retry.Permanent(errors.New("the lease is lost"))), false},
		{context.Canceled, false},
		{context.DeadlineExceeded, false},
		{rpctypes.ErrTimeout, false},
		{status.Error(codes.Unavailable, "connection reset"), false},
		{retry.Settled(errors.New("the client is closed")), true},
		{fmt.Errorf("wrapped: %w", retry.Settled(errors.New("held"))), true},
		{rpctypes.ErrNoSpace, true},
		{rpctypes.ErrTooManyRequests, true},
		{status.Error(codes.Unimplemented, "unknown service"), true},
	} {
		if got := retry.NotApplied(c.err); got != c.notApplied {
			t.Errorf("NotApplied(%v) = %v", c.err, got)
		}
	}
	if retry.Temporary(retry.Settled(errors.New("over"))) {
		t.Error("what is settled is tried again")
	}
}

func TestUntilTriesTemporaryErrorsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := retry.Until(t.Context(), func(context.Context) error {
			if tries++; tries < 5 {
				return rpctypes.ErrTimeout
			}
			return nil
		})
		if err != nil || tries != 5 {
			t.Errorf("Until = %v after %d tries, want nil after 5", err, tries)
		}
		tries = 0
		err = retry.Until(t.Context(), func(context.Context) error { tries++; return rpctypes.ErrNoSpace })
		if !errors.Is(err, rpctypes.ErrNoSpace) || tries != 1 {
			t.Errorf("Until = %v after %d tries, want the refusal at once", err, tries)
		}
	})
}

func TestUntilEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the reason")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, cause)
		defer cancel()
		start := time.Now()
		err := retry.Until(ctx, func(context.Context) error { return rpctypes.ErrTimeout })
		if !errors.Is(err, cause) || !errors.Is(err, rpctypes.ErrTimeout) {
			t.Errorf("Until = %v, want the reason and the last answer", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it took %v, want 10 s", took)
		}
	})
}

func TestStubbornlyOutlastsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := retry.Stubbornly(t.Context(), func(context.Context) error {
			if tries++; tries < 20 {
				return rpctypes.ErrPermissionDenied
			}
			return nil
		})
		if err != nil || tries != 20 {
			t.Errorf("Stubbornly = %v after %d tries, want nil after 20", err, tries)
		}
		over := retry.Permanent(errors.New("over"))
		if err := retry.Stubbornly(t.Context(), func(context.Context) error { return over }); !errors.Is(err, over) {
			t.Errorf("Stubbornly = %v, want what is permanent", err)
		}
	})
}
