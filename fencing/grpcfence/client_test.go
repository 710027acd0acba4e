package grpcfence_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/grpcfence"
)

var errGone = errors.New("the lease is lost")

func TestTheClaimTravelsWithTheCall(t *testing.T) {
	var got []metadata.MD
	keep := func(ctx context.Context) { md, _ := metadata.FromIncomingContext(ctx); got = append(got, md) }
	conn := serve(t, &fencing.Memory{}, &accounts{
		put:   func(ctx context.Context, _ string) error { keep(ctx); return nil },
		watch: func(_ string, s grpc.ServerStream) error { keep(s.Context()); return nil },
	})(fenced()...)
	held := claim("lock/é", 7)
	held.Key = "/stile/v1/lock"
	ctx := fencing.NewContext(t.Context(), held)
	forged := metadata.AppendToOutgoingContext(ctx, grpcfence.Key, `"999";resource="lock/a";mode=exclusive`, "x-own", "1")
	if err := doPut(ctx, conn, "lock/é"); err != nil {
		t.Fatal(err)
	}
	if err := doPut(forged, conn, "lock/é"); err != nil {
		t.Fatal(err)
	}
	if _, err := doWatch(forged, conn, "lock/é"); err != nil {
		t.Fatal(err)
	}
	for i, md := range got {
		if sent, want := md.Get(grpcfence.Key), []string{`"7";resource=%"lock/%c3%a9";mode=exclusive`}; !slices.Equal(sent, want) {
			t.Errorf("sent %q, want %q", sent, want)
		}
		if own := md.Get("x-own"); i > 0 && !slices.Equal(own, []string{"1"}) {
			t.Errorf("other metadata: %q", own)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d calls came, want 3", len(got))
	}
	if md, _ := metadata.FromOutgoingContext(forged); len(md.Get(grpcfence.Key)) != 1 || md.Get(grpcfence.Key)[0][:4] != `"999` {
		t.Errorf("the caller's metadata was changed: %v", md)
	}
}

func TestNothingIsSentWithoutOneClaim(t *testing.T) {
	two := fencing.NewContext(t.Context(), claim("lock/a", 1), claim("lock/b", 2))
	gone := fencing.NewContext(t.Context(), claim("lock/a", 1).Bind(func() error { return errGone }))
	for name, test := range map[string]struct {
		ctx  context.Context
		want error
		code codes.Code
	}{
		"no context":   {nil, fencing.ErrNoClaim, codes.InvalidArgument},
		"none":         {t.Context(), fencing.ErrNoClaim, codes.InvalidArgument},
		"several":      {two, fencing.ErrAmbiguousClaim, codes.InvalidArgument},
		"not UTF-8":    {fencing.NewContext(t.Context(), claim("\xff", 1)), fencing.ErrBadClaim, codes.InvalidArgument},
		"ended":        {gone, fencing.ErrEnded, codes.FailedPrecondition},
		"why it ended": {gone, errGone, codes.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			invoked := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				t.Error("it was sent")
				return nil
			}
			opened := func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
				t.Error("a stream was opened")
				return nil, nil
			}
			unary := grpcfence.UnaryClientInterceptor()(test.ctx, put, nil, nil, nil, invoked)
			_, stream := grpcfence.StreamClientInterceptor()(test.ctx, nil, nil, feed, opened)
			for _, err := range []error{unary, stream} {
				if !errors.Is(err, test.want) || status.Code(err) != test.code {
					t.Errorf("got %v (%v), want %v (%v)", err, status.Code(err), test.want, test.code)
				}
			}
		})
	}
}

func TestWhatMakesNoSenseIsLeftAsItIs(t *testing.T) {
	good := func() *errdetails.ErrorInfo {
		return &errdetails.ErrorInfo{
			Reason: "STALE_TOKEN", Domain: grpcfence.Domain,
			Metadata: map[string]string{"resource": "lock/a", "seen": "9", "presented": "7"},
		}
	}
	for name, test := range map[string]struct {
		code  codes.Code
		spoil func(*errdetails.ErrorInfo)
		stale bool
	}{
		"sense":             {codes.FailedPrecondition, func(*errdetails.ErrorInfo) {}, true},
		"another code":      {codes.Aborted, func(*errdetails.ErrorInfo) {}, false},
		"another domain":    {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Domain = "other.example" }, false},
		"another reason":    {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Reason = "ETAG" }, false},
		"another resource":  {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata["resource"] = "lock/service" }, false},
		"another token":     {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata["presented"] = "6" }, false},
		"no resource":       {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { delete(i.Metadata, "resource") }, false},
		"no tokens":         {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata = nil }, false},
		"seen is smaller":   {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata["seen"] = "6" }, false},
		"seen is equal":     {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata["seen"] = "7" }, false},
		"seen is no token":  {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata["seen"] = "09" }, false},
		"nothing presented": {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata["presented"] = "0" }, false},
		"presented no text": {codes.FailedPrecondition, func(i *errdetails.ErrorInfo) { i.Metadata["presented"] = "x" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			info := good()
			test.spoil(info)
			st, err := status.New(test.code, "told").WithDetails(&errdetails.RetryInfo{}, info)
			if err != nil {
				t.Fatal(err)
			}
			err = grpcfence.UnaryClientInterceptor()(fencing.NewContext(t.Context(), claim("lock/a", 7)), put, nil, nil, nil,
				func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return st.Err() })
			stale, ok := errors.AsType[*fencing.StaleError](err)
			if ok != test.stale || errors.Is(err, fencing.ErrStale) != test.stale || status.Code(err) != test.code {
				t.Errorf("got %v (%v), want a StaleError: %t", err, status.Code(err), test.stale)
			}
			if want := (fencing.StaleError{Resource: "lock/a", Seen: fencing.FromRevision(9), Presented: fencing.FromRevision(7)}); ok && *stale != want {
				t.Errorf("got %+v, want %+v", stale, want)
			}
		})
	}
}
