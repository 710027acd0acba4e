// Package grpcfence carries fencing tokens over gRPC: client interceptors that send the claim of a
// hold with each call, and server interceptors that refuse those who have been replaced.
//
//	conn, err := grpc.NewClient(target, creds,
//		grpc.WithUnaryInterceptor(grpcfence.UnaryClientInterceptor()),
//		grpc.WithStreamInterceptor(grpcfence.StreamClientInterceptor()))
//	_, err = accounts.Put(held.Context(), req)
//	if errors.Is(err, fencing.ErrStale) { ... } // somebody else has the hold by now
//
//	about := func(_ context.Context, _ string, req any) string { ... } // "lock/accounts/7"
//	srv := grpc.NewServer(
//		grpc.UnaryInterceptor(grpcfence.UnaryServerInterceptor(gate, about)),
//		grpc.StreamInterceptor(grpcfence.StreamServerInterceptor(gate, about)))
//
// # On the wire
//
// The claim is one value of the metadata key fencing-token, with the grammar that package
// httpfence documents:
//
//	fencing-token: "48213";resource="lock/reports/nightly";mode=exclusive
//
// A refusal is a status with a google.rpc.ErrorInfo of the domain [Domain]:
//
//	reason                code                metadata
//	STALE_TOKEN           FAILED_PRECONDITION resource, seen, presented
//	SHARED_CLAIM          PERMISSION_DENIED   resource   a write with a shared claim
//	NO_CLAIM              INVALID_ARGUMENT    resource   one on another resource, or none at all
//	BAD_CLAIM             INVALID_ARGUMENT               malformed, too long, several
//	UNKNOWN_RESOURCE      NOT_FOUND                      the call is about nothing that is guarded
//	GATE_UNAVAILABLE      UNAVAILABLE         resource   the gate gave no answer; with a RetryInfo
//
// The client interceptors turn the first four back into errors of package fencing: errors.As finds
// the *fencing.StaleError, errors.Is the sentinel, and status.Code the code, all in the same error.
// They leave a STALE_TOKEN as it is that isn't about the claim that they sent: a service may pass on
// what it was told of a hold of its own.
//
// # Streams
//
// A claim is one for a stream. A call whose client sends one message (a server stream) is checked
// when that message has been received, as a unary call is; generated code receives it before it
// calls the method. A stream of messages from the client is checked when it begins, about a nil
// request. A long one outlives that check: [EachMessage] asks again with every message received,
// before the handler gets it. What the server sends is never checked: a reader that is replaced in
// the middle of a stream goes on reading.
//
// # Two steps
//
// The check and the handler's write are two steps, and a larger token may be admitted between them.
// What keeps out a holder that is replaced just then is a check in the same transaction as the
// write. The handler's context carries the claim for it, and a *fencing.StaleError on that
// claim's resource that the handler returns is told to the client as the interceptor's own are.
//
// A new holder presents its token before it reads what it will build on (see package fencing): a
// service offers a method for that, told by [Seals].
//
// A token is neither a secret nor a proof: whoever is let through can present any, and with a very
// large one shut everybody else out for good. Interceptors that authenticate and authorise come
// before these.
package grpcfence
