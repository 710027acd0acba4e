package grpcfence_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/grpcfence"
)

// A holder is paused, another takes over, and the first one's call arrives late.
func Example() {
	// The service. A gate that outlives a restart belongs here: package sqlfence has one.
	var gate fencing.Memory
	about := func(_ context.Context, _ string, req any) string { return "lock/" + text(req) }
	srv := grpc.NewServer(
		grpc.UnaryInterceptor(grpcfence.UnaryServerInterceptor(&gate, about,
			grpcfence.Seals(func(method string) bool { return method == "/test.Accounts/Seal" }))),
		grpc.StreamInterceptor(grpcfence.StreamServerInterceptor(&gate, about)))
	srv.RegisterService(&desc, &accounts{put: func(ctx context.Context, account string) error {
		claim, err := fencing.FromContext(ctx) // a guard of the database does this for you
		fmt.Println("at", account, "with token", claim.Token, err)
		return nil
	}})
	listener := bufconn.Listen(1 << 16)
	go func() { _ = srv.Serve(listener) }()
	defer srv.Stop()

	// The holders. The context of a hold carries such a claim already.
	conn, err := grpc.NewClient("passthrough:///accounts",
		grpc.WithUnaryInterceptor(grpcfence.UnaryClientInterceptor()),
		grpc.WithStreamInterceptor(grpcfence.StreamClientInterceptor()),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	hold := func(rev int64) context.Context {
		return fencing.NewContext(context.Background(), fencing.Claim{Resource: "lock/accounts/7", Token: fencing.FromRevision(rev)})
	}

	paused, next := hold(41), hold(42)
	fmt.Println("seal:", doSeal(next, conn, "accounts/7"))
	late := doPut(paused, conn, "accounts/7")
	fmt.Println("late:", late)
	fmt.Println(errors.Is(late, fencing.ErrStale), status.Code(late))
	fmt.Println("next:", doPut(next, conn, "accounts/7"))
	// Output:
	// at accounts/7 with token 42 <nil>
	// seal: <nil>
	// late: fencing "lock/accounts/7": stale fencing token: 41 was presented, 42 was seen
	// true FailedPrecondition
	// at accounts/7 with token 42 <nil>
	// next: <nil>
}
