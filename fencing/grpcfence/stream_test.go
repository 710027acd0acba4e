package grpcfence_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/grpcfence"
)

// echo is a feed that sends back what it receives.
func echo(s grpc.ServerStream) error {
	for {
		m := new(wrapperspb.StringValue)
		if err := s.RecvMsg(m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

// exchange sends one message and waits for the echo.
func exchange(s grpc.ClientStream, about string) error {
	if err := s.SendMsg(wrapperspb.String(about)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return s.RecvMsg(new(wrapperspb.StringValue))
}

func openFeed(ctx context.Context, t *testing.T, conn *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	s, err := conn.NewStream(ctx, &desc.Streams[1], feed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAFeedIsCheckedWhenItBegins(t *testing.T) {
	var gate fencing.Memory
	ran := 0
	conn := serve(t, &gate, &accounts{feed: func(s grpc.ServerStream) error { ran++; return echo(s) }})(fenced()...)
	zombie, next := fencing.NewContext(t.Context(), claim("lock/a", 7)), fencing.NewContext(t.Context(), claim("lock/a", 9))
	s := openFeed(zombie, t, conn)
	if err := exchange(s, "lock/a"); err != nil {
		t.Fatal(err)
	}
	if err := gate.Seal(next); err != nil {
		t.Fatal(err)
	}
	if err := exchange(s, "lock/other"); err != nil {
		t.Errorf("a later message: %v, want it let through: the stream was checked when it began", err)
	}
	if err := s.CloseSend(); err != nil {
		t.Error(err)
	}
	if err := s.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v, want EOF", err)
	}
	late := openFeed(zombie, t, conn)
	if err := exchange(late, "lock/a"); !errors.Is(err, fencing.ErrStale) || status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a stream that begins late: %v, want ErrStale", err)
	}
	if ran != 1 {
		t.Errorf("the handler ran %d times, want once", ran)
	}
}

func TestEachMessageIsChecked(t *testing.T) {
	for name, test := range map[string]struct {
		seal int64
		say  string
		want error
		code codes.Code
	}{
		"replaced":           {9, "lock/a", fencing.ErrStale, codes.FailedPrecondition},
		"about another":      {1, "lock/b", fencing.ErrNoClaim, codes.InvalidArgument},
		"about nothing":      {1, "", nil, codes.NotFound},
		"nothing has change": {1, "lock/a", nil, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			var gate fencing.Memory
			handled := make(chan error, 1)
			conn := serve(t, &gate, &accounts{feed: func(s grpc.ServerStream) error {
				err := echo(s)
				again := s.RecvMsg(new(wrapperspb.StringValue))
				if err != nil && !errors.Is(again, err) {
					t.Errorf("received after a refusal: %v, want %v", again, err)
				}
				handled <- err
				return nil // as one that overlooks the error
			}}, grpcfence.EachMessage())(fenced()...)
			s := openFeed(fencing.NewContext(t.Context(), claim("lock/a", 7)), t, conn)
			if err := exchange(s, "lock/a"); err != nil {
				t.Fatal(err)
			}
			if err := gate.Seal(fencing.NewContext(t.Context(), claim("lock/a", test.seal))); test.seal > 7 && err != nil {
				t.Fatal(err)
			}
			err := exchange(s, test.say)
			if status.Code(err) != test.code || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v (%v), want %v (%v)", err, status.Code(err), test.want, test.code)
			}
			if err := s.CloseSend(); err != nil {
				t.Error(err)
			}
			if got := <-handled; status.Code(got) != test.code {
				t.Errorf("the handler got %v, want %v", got, test.code)
			}
		})
	}
}

// A stream to the client is checked with its request, once, and then runs on.
func TestAWatchIsCheckedWithItsRequest(t *testing.T) {
	var gate fencing.Memory
	zombie, next := fencing.NewContext(t.Context(), claim("lock/a", 7)), fencing.NewContext(t.Context(), claim("lock/a", 9))
	conn := serve(t, &gate, &accounts{watch: func(account string, s grpc.ServerStream) error {
		for range 3 {
			if err := gate.Seal(next); err != nil {
				t.Error(err)
			}
			if err := s.SendMsg(wrapperspb.String(account)); err != nil {
				return err
			}
		}
		return nil
	}})(fenced()...)
	if n, err := doWatch(zombie, conn, "lock/a"); n != 3 || err != nil {
		t.Errorf("got %d messages, %v, want 3", n, err)
	}
	if n, err := doWatch(zombie, conn, "lock/a"); n != 0 || !errors.Is(err, fencing.ErrStale) {
		t.Errorf("got %d messages, %v, want none and ErrStale", n, err)
	}
}
