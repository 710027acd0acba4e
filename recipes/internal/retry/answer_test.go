package retry

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestAnAnswerSaysWhoseFaultItIs: the caller's ctx, etcd's absence, etcd's refusal and a limit of our own are four things.
func TestAnAnswerSaysWhoseFaultItIs(t *testing.T) {
	expired, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	limited, cancel := context.WithTimeoutCause(context.Background(), 0, NoAnswer(time.Second))
	defer cancel()
	errStop := errors.New("stop")
	stopped, stop := context.WithCancelCause(context.Background())
	stop(errStop)
	caused, cancel := context.WithTimeoutCause(context.Background(), 0, errStop)
	defer cancel()
	away := status.Error(codes.Unavailable, "connection refused")
	for _, c := range []struct {
		name                  string
		ctx                   context.Context
		err                   error
		unavailable, deadline bool
		is                    error
	}{
		{"away", context.Background(), away, true, false, away},
		{"no leader", context.Background(), rpctypes.ErrNoLeader, true, false, rpctypes.ErrNoLeader},
		{"refused", context.Background(), rpctypes.ErrPermissionDenied, false, false, rpctypes.ErrPermissionDenied},
		{"refused at the end", expired, rpctypes.ErrPermissionDenied, false, false, rpctypes.ErrPermissionDenied},
		{"the caller's deadline", expired, expired.Err(), true, true, nil},
		{"the caller's deadline, with a cause", caused, caused.Err(), true, true, errStop},
		{"our own limit", limited, limited.Err(), true, false, nil},
		{"somebody stopped it", stopped, stopped.Err(), false, false, errStop},
	} {
		err := Answer(c.ctx, c.err)
		if errors.Is(err, ErrUnavailable) != c.unavailable || errors.Is(err, context.DeadlineExceeded) != c.deadline || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want unavailable %v, deadline %v", c.name, err, c.unavailable, c.deadline)
		}
	}
	if err := Answer(expired, nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}

func TestWhyIsTheContextsErrorAndItsCause(t *testing.T) {
	errStop := errors.New("stop")
	stopped, stop := context.WithCancelCause(context.Background())
	if err := Why(stopped); err != nil {
		t.Errorf("before its end: %v", err)
	}
	stop(errStop)
	if err := Why(stopped); !errors.Is(err, errStop) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the cause, and context.Canceled", err)
	}
	limited, cancel := context.WithTimeoutCause(context.Background(), 0, NoAnswer(time.Second))
	defer cancel()
	if err := Why(limited); !errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want our own limit, which is no deadline of the caller's", err)
	}
}
