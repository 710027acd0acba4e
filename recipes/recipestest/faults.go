package recipestest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Faults loses the answers of a client's requests, holds requests back, or refuses them, each by its number. Hand it to the function
// that makes the client:
//
//	f := recipestest.NewFaults(t)
//	c := recipestest.Client(t, f)
//	f.DropAnswer(1, recipestest.Silence)
//
// Requests are those of KV and Lease that have one answer: Get, Put, Delete, Txn, Compact, Grant, Revoke, TimeToLive, Leases.
// Keep-alives and watches, which come when they like, are not counted; a Proxy reaches them too. What etcd's client sends again by
// itself counts again: after a Reset it repeats Get, Txns that only read, Grant and Revoke, but no write.
//
// A request has one fault. A fault for one that has another already goes to the first after it that has none, so that
// asking for the next request (1) again and again gives a run of faults.
//
// Each client needs Faults of its own; those of several are counted as one's. A client that is not on a socket (server.Server's) sends
// nothing that Faults could see.
type Faults struct {
	tb      testing.TB
	ctx     context.Context // ends with the test
	running sync.WaitGroup

	mu    sync.Mutex
	sent  int
	fates map[int]fate // by the number of the request
}

// A fate is what happens to a request. It returns what the client is told.
type fate func(ctx context.Context, c *call) error

// NewFaults makes Faults that do nothing yet.
func NewFaults(tb testing.TB) *Faults {
	tb.Helper()
	f := &Faults{tb: tb, fates: map[int]fate{}}
	var stop context.CancelFunc
	f.ctx, stop = context.WithCancel(context.Background())
	tb.Cleanup(func() {
		stop()
		f.running.Wait()
	})
	return f
}

// DialOption puts the faults into a client that the test makes itself, as one of clientv3.Config.DialOptions.
func (f *Faults) DialOption() grpc.DialOption { return grpc.WithChainUnaryInterceptor(f.intercept) }

func (f *Faults) set(cfg *clientv3.Config) { cfg.DialOptions = append(cfg.DialOptions, f.DialOption()) }

// Sent is how many requests there were so far, in all.
func (f *Faults) Sent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

// DropAnswer loses the answer of the n-th request from now on (1 is the next). The server gets the request in any case, even if the
// client gives up meanwhile. The client hears nothing until its ctx ends (Silence), or once the server has answered that its connection
// broke (Reset).
func (f *Faults) DropAnswer(n int, s Symptom) *Lost {
	f.tb.Helper()
	l := &Lost{answered: make(chan struct{})}
	f.decide(n, func(ctx context.Context, c *call) error {
		f.running.Go(func() {
			l.err = c.send(f.ctx)
			close(l.answered)
		})
		if s == Reset {
			select {
			case <-l.answered:
			case <-ctx.Done():
			}
		}
		return s.tell(ctx, c.conn)
	})
	return l
}

// LateRequest holds back the n-th request from now on (1 is the next), until Late.LetThrough. The client hears nothing until its ctx
// ends (Silence), or at once that its connection broke (Reset). A request that is never let through was lost on its way.
func (f *Faults) LateRequest(n int, s Symptom) *Late {
	f.tb.Helper()
	l := &Late{ctx: f.ctx, held: make(chan struct{})}
	f.decide(n, func(ctx context.Context, c *call) error {
		l.call = c
		close(l.held)
		return s.tell(ctx, c.conn)
	})
	return l
}

// Refuse has the n-th request from now on (1 is the next) refused with err, as etcd sends it: rpctypes.ErrGRPCPermissionDenied, say. The
// server doesn't get the request. What it returns is closed once the request has come.
func (f *Faults) Refuse(n int, err error) <-chan struct{} {
	f.tb.Helper()
	refused := make(chan struct{})
	f.decide(n, func(context.Context, *call) error {
		close(refused)
		return err
	})
	return refused
}

// Calm forgets the faults that no request has met yet. Late requests stay held back.
func (f *Faults) Calm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.fates)
}

func (f *Faults) decide(n int, what fate) {
	f.tb.Helper()
	if n < 1 {
		f.tb.Fatalf("recipestest: request %d from now on can't have a fault: it is past", n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for n += f.sent; f.fates[n] != nil; n++ {
	}
	f.fates[n] = what
}

// next counts a request, and returns its fate: nil is none.
func (f *Faults) next() fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	what := f.fates[f.sent]
	delete(f.fates, f.sent)
	return what
}

func (f *Faults) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if !strings.HasPrefix(method, "/etcdserverpb.KV/") && !strings.HasPrefix(method, "/etcdserverpb.Lease/") {
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	what := f.next()
	if what == nil {
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	request, ok := req.(proto.Message)
	answer, ok2 := reply.(proto.Message)
	if !ok || !ok2 {
		return status.Errorf(codes.Internal, "recipestest: %s is no request of etcd's", method)
	}
	return what(ctx, &call{context.WithoutCancel(ctx), method, proto.Clone(request), answer.ProtoReflect().New().Interface(), conn, invoke, own(opts)})
}

// A call is a request that the one who made it no longer waits for.
type call struct {
	ctx         context.Context // without an end
	method      string
	req, answer proto.Message
	conn        *grpc.ClientConn
	invoke      grpc.UnaryInvoker
	opts        []grpc.CallOption
}

// send returns what the server answered, or why there is no answer.
func (c *call) send(end context.Context) error {
	ctx, cancel := context.WithTimeout(c.ctx, startTimeout)
	defer cancel()
	defer context.AfterFunc(end, cancel)()
	return c.invoke(ctx, c.method, c.req, c.answer, c.conn, c.opts...)
}

// own is opts without those that write into the caller's variables.
func own(opts []grpc.CallOption) []grpc.CallOption {
	var kept []grpc.CallOption
	for _, o := range opts {
		switch o.(type) {
		case grpc.PeerCallOption, grpc.HeaderCallOption, grpc.TrailerCallOption, grpc.OnFinishCallOption:
		default:
			kept = append(kept, o)
		}
	}
	return kept
}

// tell is what gRPC would tell the client, and when.
func (s Symptom) tell(ctx context.Context, conn *grpc.ClientConn) error {
	if s == Reset {
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		return status.Error(codes.Unavailable, "error reading from server: EOF")
	}
	for now := conn.GetState(); now != connectivity.Shutdown; now = conn.GetState() {
		if !conn.WaitForStateChange(ctx, now) {
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return status.Error(codes.Canceled, "grpc: the client connection is closing")
}

// Lost is an answer that is lost: see Faults.DropAnswer.
type Lost struct {
	answered chan struct{}
	err      error
}

// Answered is closed once the server has answered the request: what it does to etcd is done.
func (l *Lost) Answered() <-chan struct{} { return l.answered }

// Err is the error that the server answered, nil if it did what was asked. Before Answered is closed it is an error that says so.
func (l *Lost) Err() error {
	select {
	case <-l.answered:
		return l.err
	default:
		return errNotYet
	}
}

// errNotYet says that a fault has not happened so far.
var errNotYet = errors.New("recipestest: that request has not come yet, or has no answer yet")

// Late is a request that is held back: see Faults.LateRequest.
type Late struct {
	ctx  context.Context
	held chan struct{}
	call *call // once held is closed

	once sync.Once
	err  error
}

// Held is closed once the request has come.
func (l *Late) Held() <-chan struct{} { return l.held }

// LetThrough sends the request to the server, and returns when it has answered: the error that it answered, nil if it did what was
// asked. It fails if the request has not come yet, or the client was closed. A request is sent once, however often LetThrough is
// called.
func (l *Late) LetThrough() error {
	select {
	case <-l.held:
	default:
		return errNotYet
	}
	l.once.Do(func() { l.err = l.call.send(l.ctx) })
	return l.err
}
