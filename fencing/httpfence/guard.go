package httpfence

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/stile-dev/stile/fencing"
)

// retryAfter is when to ask again, in seconds, after a gate gave no answer.
const retryAfter = "1"

// Guard returns a middleware that lets a request through to the handler if gate admits the
// claim that it presents. Both arguments are needed.
//
// resource says which resource a request is about, as a Claim names it ("lock/accounts/7"). It is
// for the service to say: a client that could choose would present a fresh claim on something
// else. "" says that the request is about nothing that is guarded, and it is refused.
//
// A request of a safe method (GET, HEAD, OPTIONS, TRACE) is a read and goes through
// Gate.CheckRead, any other is a write and goes through Gate.Check. [Reads] and [Seals] say
// otherwise. The handler's context carries the claim, and no other one; fencing.FromContext
// returns it.
//
// A refused request never reaches the handler, and nothing of it is remembered. It is answered with
// an application/problem+json (RFC 9457) that [Error] turns back into an error:
//
//	400  what is presented is not one claim: malformed, too long, several
//	403  a write with a shared claim
//	404  resource returned ""
//	412  a stale token; the members resource, seen and presented say which
//	428  no claim is presented, or one on another resource
//	503  the gate gave no answer; with Retry-After. The gate's error goes to the [Logger] alone
func Guard(gate fencing.Gate, resource func(*http.Request) string, opts ...Option) func(http.Handler) http.Handler {
	c := config{reads: safe, seals: func(*http.Request) bool { return false }, log: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o(&c)
	}
	return func(next http.Handler) http.Handler {
		return &guard{gate: gate, resource: resource, config: c, next: next}
	}
}

type guard struct {
	gate     fencing.Gate
	resource func(*http.Request) string
	config
	next http.Handler
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", Header)
	resource := g.resource(r)
	ctx, err := g.admit(r, resource)
	if err != nil {
		g.refuse(w, r, resource, err)
		return
	}
	g.next.ServeHTTP(w, r.WithContext(ctx))
}

// admit returns the handler's context.
func (g *guard) admit(r *http.Request, resource string) (context.Context, error) {
	if resource == "" {
		return nil, fmt.Errorf("fencing: %w", errUnknown)
	}
	claim, err := incoming(r.Header)
	switch {
	case err != nil:
		return nil, err
	case claim.Resource != resource:
		return nil, fmt.Errorf("fencing %q: %w: a claim on %.80q was presented", resource, fencing.ErrNoClaim, claim.Resource)
	}
	ctx := fencing.For(fencing.NewContext(r.Context(), claim), resource)
	return ctx, g.check(ctx, r)
}

func (g *guard) check(ctx context.Context, r *http.Request) error {
	switch {
	case g.seals(r):
		return g.gate.Seal(ctx)
	case g.reads(r):
		return g.gate.CheckRead(ctx)
	default:
		return g.gate.Check(ctx)
	}
}

func (g *guard) refuse(w http.ResponseWriter, r *http.Request, resource string, err error) {
	p := problemOf(err, resource)
	level := slog.LevelWarn
	if p.Status == http.StatusServiceUnavailable && r.Context().Err() == nil { // otherwise the client has hung up
		level = slog.LevelError
	}
	g.log.Log(r.Context(), level, "a request was refused", "method", r.Method, "resource", p.Resource, "status", p.Status, "err", err)
	p.write(w)
}

func safe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	default:
		return false
	}
}
