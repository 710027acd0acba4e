package grpcfence_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/grpcfence"
)

const (
	seven  = `"7";resource="lock/a";mode=exclusive`
	nine   = `"9";resource="lock/a";mode=exclusive`
	reader = `"8";resource="lock/a";mode=shared`
)

// detail is the ErrorInfo in err: its reason, and its metadata.
func detail(t *testing.T, err error) (reason string, told map[string]string) {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			if info.GetDomain() != "github.com/stile-dev/stile/fencing" || reason != "" {
				t.Errorf("a detail of the domain %s", info.GetDomain())
			}
			reason, told = info.GetReason(), info.GetMetadata()
		}
	}
	return reason, told
}

func TestRefusalsAreStatuses(t *testing.T) {
	long := `"9";resource="` + strings.Repeat("a", 5000) + `";mode=exclusive`
	for name, test := range map[string]struct {
		about  string
		values []string
		code   codes.Code
		reason string
		told   map[string]string
		is     error
	}{
		"stale":         {"lock/a", []string{seven}, codes.FailedPrecondition, "STALE_TOKEN", map[string]string{"resource": "lock/a", "seen": "8", "presented": "7"}, fencing.ErrStale},
		"shared":        {"lock/a", []string{reader}, codes.PermissionDenied, "SHARED_CLAIM", map[string]string{"resource": "lock/a"}, fencing.ErrShared},
		"on another":    {"lock/b", []string{nine}, codes.InvalidArgument, "NO_CLAIM", map[string]string{"resource": "lock/b"}, fencing.ErrNoClaim},
		"none":          {"lock/a", nil, codes.InvalidArgument, "NO_CLAIM", nil, fencing.ErrNoClaim},
		"malformed":     {"lock/a", []string{"9"}, codes.InvalidArgument, "BAD_CLAIM", nil, fencing.ErrBadClaim},
		"two":           {"lock/a", []string{nine, nine}, codes.InvalidArgument, "BAD_CLAIM", nil, fencing.ErrBadClaim},
		"too long":      {"lock/a", []string{long}, codes.InvalidArgument, "BAD_CLAIM", nil, fencing.ErrBadClaim},
		"about nothing": {"", []string{nine}, codes.NotFound, "UNKNOWN_RESOURCE", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var gate fencing.Memory
			if err := gate.Seal(fencing.NewContext(t.Context(), shared("lock/a", 8))); err != nil {
				t.Fatal(err)
			}
			conn := serve(t, &gate, &accounts{
				put:   func(context.Context, string) error { t.Error("the handler ran"); return nil },
				watch: func(string, grpc.ServerStream) error { t.Error("the handler ran"); return nil },
			})
			raw := metadata.NewOutgoingContext(t.Context(), metadata.MD{grpcfence.Key: test.values})
			_, stream := doWatch(raw, conn(), test.about)
			for _, err := range []error{doPut(raw, conn(), test.about), stream} {
				reason, told := detail(t, err)
				if diff := cmp.Diff(test.told, told); status.Code(err) != test.code || reason != test.reason || diff != "" {
					t.Errorf("got %v, %s %s", err, reason, diff)
				}
			}
			understood(raw, t, conn, test.about, test.is)
			if seen := gate.Seen("lock/a"); seen != fencing.FromRevision(8) || !gate.Seen("lock/b").IsZero() {
				t.Errorf("a refused call was remembered: %v", seen)
			}
		})
	}
}

// understood has the client interceptors read a refusal of what they would not send themselves.
func understood(raw context.Context, t *testing.T, conn func(...grpc.DialOption) *grpc.ClientConn, account string, want error) {
	t.Helper()
	md, _ := metadata.FromOutgoingContext(raw)
	sendRaw := func(ctx context.Context) context.Context { return metadata.NewOutgoingContext(ctx, md) }
	client := conn(
		grpc.WithChainUnaryInterceptor(grpcfence.UnaryClientInterceptor(),
			func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				return invoke(sendRaw(ctx), method, req, reply, cc, opts...)
			}),
		grpc.WithChainStreamInterceptor(grpcfence.StreamClientInterceptor(),
			func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				return open(sendRaw(ctx), desc, cc, method, opts...)
			}))
	ctx := fencing.NewContext(t.Context(), claim("lock/a", 7))
	_, stream := doWatch(ctx, client, account)
	for _, err := range []error{doPut(ctx, client, account), stream} {
		if want != nil && !errors.Is(err, want) || status.Code(err) == codes.OK || status.Code(err) == codes.Unknown {
			t.Errorf("understood as %v (%v), want %v", err, status.Code(err), want)
		}
		if stale, ok := errors.AsType[*fencing.StaleError](err); ok != errors.Is(want, fencing.ErrStale) ||
			ok && *stale != (fencing.StaleError{Resource: "lock/a", Seen: fencing.FromRevision(8), Presented: fencing.FromRevision(7)}) {
			t.Errorf("understood as %+v", stale)
		}
	}
}

// calls is a gate that says which of its methods was called.
type calls []string

func (c *calls) Check(context.Context) error     { *c = append(*c, "Check"); return nil }
func (c *calls) CheckRead(context.Context) error { *c = append(*c, "CheckRead"); return nil }
func (c *calls) Seal(context.Context) error      { *c = append(*c, "Seal"); return nil }

func TestTheMethodDecidesWhatIsAsked(t *testing.T) {
	isPut := func(method string) bool { return method == put }
	for name, test := range map[string]struct {
		opts []grpcfence.Option
		want []string // of a Put and a Watch
	}{
		"by default":   {nil, []string{"Check", "Check"}},
		"reads":        {[]grpcfence.Option{grpcfence.Reads(isPut)}, []string{"CheckRead", "Check"}},
		"seals":        {[]grpcfence.Option{grpcfence.Seals(isPut)}, []string{"Seal", "Check"}},
		"seals, reads": {[]grpcfence.Option{grpcfence.Seals(isPut), grpcfence.Reads(isPut)}, []string{"Seal", "Check"}},
		"each message": {[]grpcfence.Option{grpcfence.EachMessage()}, []string{"Check", "Check"}},
		"except":       {[]grpcfence.Option{grpcfence.Except(isPut)}, []string{"Check"}},
		"except both":  {[]grpcfence.Option{grpcfence.Except(func(string) bool { return true })}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var gate calls
			ran := 0
			conn := serve(t, &gate, &accounts{
				put:   func(context.Context, string) error { ran++; return nil },
				watch: func(string, grpc.ServerStream) error { ran++; return nil },
			}, test.opts...)(fenced()...)
			ctx := fencing.NewContext(t.Context(), claim("lock/a", 9))
			if err := doPut(ctx, conn, "lock/a"); err != nil {
				t.Error(err)
			}
			if _, err := doWatch(ctx, conn, "lock/a"); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(test.want, []string(gate)); diff != "" || ran != 2 {
				t.Errorf("%d handlers ran %s", ran, diff)
			}
		})
	}
}

func TestWhatIsExceptedNeedsNoClaim(t *testing.T) {
	conn := serve(t, &fencing.Memory{}, &accounts{
		put:   func(context.Context, string) error { return nil },
		watch: func(string, grpc.ServerStream) error { return nil },
	}, grpcfence.Except(func(string) bool { return true }))()
	if err := doPut(t.Context(), conn, ""); err != nil {
		t.Error(err)
	}
	if _, err := doWatch(t.Context(), conn, ""); err != nil {
		t.Error(err)
	}
}

func TestTheHandlersContextCarriesThatClaimAlone(t *testing.T) {
	var got []fencing.Claim
	conn := serve(t, &fencing.Memory{}, &accounts{
		put: func(ctx context.Context, _ string) error { got = append(got, fencing.Claims(ctx)...); return nil },
		watch: func(_ string, s grpc.ServerStream) error {
			got = append(got, fencing.Claims(s.Context())...)
			return nil
		},
	})(fenced()...)
	held := claim("lock/a", 7)
	held.Key = "/stile/v1/lock"
	ctx := fencing.NewContext(t.Context(), held)
	if err := doPut(ctx, conn, "lock/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := doWatch(ctx, conn, "lock/a"); err != nil {
		t.Fatal(err)
	}
	for _, c := range got {
		if c.Resource != "lock/a" || c.Token != fencing.FromRevision(7) || c.Key != "" {
			t.Errorf("got %+v, want the claim that was presented, without its key", c)
		}
	}
	if len(got) != 2 {
		t.Errorf("got %d claims, want one in each handler", len(got))
	}
}

// direct calls an interceptor as a server does, with a claim of token 7 on lock/a.
func direct(ctx context.Context, gate fencing.Gate, resource string, handle grpc.UnaryHandler) error {
	ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(grpcfence.Key, seven))
	about := func(context.Context, string, any) string { return resource }
	_, err := grpcfence.UnaryServerInterceptor(gate, about)(ctx, nil, &grpc.UnaryServerInfo{FullMethod: put}, handle)
	return err
}

// What the service holds itself is not the caller's.
func TestAServersOwnClaimsAreNotTheCallers(t *testing.T) {
	var gate fencing.Memory
	own := fencing.NewContext(t.Context(), claim("lock/a", 99), claim("lock/service", 3))
	err := direct(own, &gate, "lock/a", func(ctx context.Context, _ any) (any, error) {
		c, err := fencing.FromContext(ctx)
		if err != nil || c.Token != fencing.FromRevision(7) {
			t.Errorf("got %+v, %v, want the caller's claim", c, err)
		}
		return nil, nil
	})
	if got := gate.Seen("lock/a"); err != nil || got != fencing.FromRevision(7) {
		t.Errorf("got %v with %v seen, want 7", err, got)
	}
}

func TestACallThatHasEndedIsNotTheGatesFailure(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	err := direct(ended, &fencing.Memory{}, "lock/a", func(context.Context, any) (any, error) { t.Error("the handler ran"); return nil, nil })
	if status.Code(err) != codes.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v (%v), want Canceled", err, status.Code(err))
	}
}

func TestAResourceThatIsNotUTF8IsToldAllTheSame(t *testing.T) {
	err := direct(t.Context(), &fencing.Memory{}, "lock/\xff", func(context.Context, any) (any, error) { t.Error("the handler ran"); return nil, nil })
	if reason, told := detail(t, err); reason != "NO_CLAIM" || told["resource"] != "lock/\uFFFD" {
		t.Errorf("told %s %v of %v", reason, told, err)
	}
}

type broken struct{ fencing.Gate }

func (broken) Check(context.Context) error {
	return errors.New("dial tcp 10.0.0.7:5432: password of user stile is wrong")
}

func TestAGateThatFailsLetsNothingThrough(t *testing.T) {
	var log strings.Builder
	conn := serve(t, broken{}, &accounts{put: func(context.Context, string) error { t.Error("the handler ran"); return nil }},
		grpcfence.Logger(slog.New(slog.NewTextHandler(&log, nil))))(fenced()...)
	err := doPut(fencing.NewContext(t.Context(), claim("lock/a", 9)), conn, "lock/a")
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || strings.Contains(st.String(), "password") || errors.Is(err, fencing.ErrStale) {
		t.Errorf("got %v, want Unavailable and no more", err)
	}
	if reason, told := detail(t, err); reason != "GATE_UNAVAILABLE" || told["resource"] != "lock/a" {
		t.Errorf("told %s %v", reason, told)
	}
	var retry time.Duration
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			retry = info.GetRetryDelay().AsDuration()
		}
	}
	if retry != time.Second {
		t.Errorf("RetryInfo: got %v, want 1s", retry)
	}
	if logged := log.String(); !strings.Contains(logged, "level=ERROR") || !strings.Contains(logged, "password") {
		t.Errorf("logged: %s", logged)
	}
}

func TestAHandlersOwnRefusalIsTold(t *testing.T) {
	stale := func(resource string) error {
		return &fencing.StaleError{Resource: resource, Seen: fencing.FromRevision(10), Presented: fencing.FromRevision(9)}
	}
	for name, test := range map[string]struct {
		err  error
		code codes.Code
		is   error
	}{
		"stale":            {stale("lock/a"), codes.FailedPrecondition, fencing.ErrStale},
		"stale, elsewhere": {stale("lock/service"), codes.Unknown, nil},
		"shared":           {fencing.ErrShared, codes.Unknown, nil}, // the caller's is exclusive
		"a mistake":        {fencing.ErrNoClaim, codes.Unknown, nil},
		"a status":         {status.Error(codes.Aborted, "no"), codes.Aborted, nil},
		"any":              {errGone, codes.Unknown, nil},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, &fencing.Memory{}, &accounts{
				put:   func(context.Context, string) error { return test.err },
				watch: func(string, grpc.ServerStream) error { return test.err },
			})(fenced()...)
			ctx := fencing.NewContext(t.Context(), claim("lock/a", 9))
			_, stream := doWatch(ctx, conn, "lock/a")
			for _, err := range []error{doPut(ctx, conn, "lock/a"), stream} {
				if status.Code(err) != test.code || test.is != nil && !errors.Is(err, test.is) || test.is == nil && errors.Is(err, fencing.ErrStale) {
					t.Errorf("got %v (%v), want %v (%v)", err, status.Code(err), test.is, test.code)
				}
			}
		})
	}
}

func TestAWriteWithASharedClaimByAHandlerIsTold(t *testing.T) {
	conn := serve(t, &fencing.Memory{}, &accounts{put: func(context.Context, string) error { return fencing.ErrShared }},
		grpcfence.Reads(func(string) bool { return true }))(fenced()...)
	err := doPut(fencing.NewContext(t.Context(), shared("lock/a", 9)), conn, "lock/a")
	if status.Code(err) != codes.PermissionDenied || !errors.Is(err, fencing.ErrShared) {
		t.Errorf("got %v, want PermissionDenied", err)
	}
}
