// Package outages is for the tests of recipes: etcd is away, in each way in which it can be, and every call returns when its ctx has ended.
package outages

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

const (
	// Patience is that of the callers, and what cleaning up has beyond it.
	Patience = 100 * time.Millisecond
	// Grace is what a call may take when its time is over.
	Grace = 250 * time.Millisecond
)

// outage is a way in which etcd can be away. It makes clients of a server, and then takes the server away.
type outage func(t *testing.T) (client func() *clientv3.Client, begin func())

var outages = map[string]outage{
	"stopped": func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		srv := recipestest.NewServer(t)
		return func() *clientv3.Client { return srv.Client() }, srv.Stop
	},
	"frozen": func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		srv := recipestest.NewProcess(t)
		return func() *clientv3.Client { return srv.Client() }, srv.Freeze
	},
	"connections refused":   behindProxy(func(p *recipestest.Proxy) { p.Cut(recipestest.Reset) }),
	"connections swallowed": behindProxy(func(p *recipestest.Proxy) { p.Cut(recipestest.Silence) }),
	"answers swallowed":     behindProxy(func(p *recipestest.Proxy) { p.Hold(recipestest.ToClient) }),
}

func behindProxy(begin func(p *recipestest.Proxy)) outage {
	return func(t *testing.T) (func() *clientv3.Client, func()) {
		t.Helper()
		p := recipestest.NewProxy(t, recipestest.Endpoint(t))
		return func() *clientv3.Client { return recipestest.Client(t, p) }, func() { begin(p) }
	}
}

// Each runs a test in each outage, all at once. client makes clients, and begin takes etcd away from all of them.
func Each(t *testing.T, run func(t *testing.T, client func() *clientv3.Client, begin func())) {
	t.Helper()
	var all sync.WaitGroup
	for name, away := range outages {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				client, begin := away(t)
				run(t, client, begin)
			})
		})
	}
	all.Wait()
}

// Impatient is a session that cleans up for a moment only.
func Impatient(t *testing.T, c *clientv3.Client, start bool) *session.Session {
	t.Helper()
	s, err := session.New(c, session.CleanupTimeout(Patience))
	if err != nil {
		t.Fatal(err)
	}
	if start {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// InBackground calls, until stop ends the call's ctx.
func InBackground(t *testing.T, call func(ctx context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

var errMine = errors.New("my patience ran out")

// Bounded makes all calls at once. Each is to fail with its ctx's error and cause, soon after its ctx has ended, and to say that etcd is away;
// but a Txn is sent once, and a Watch waits for etcd to come back.
func Bounded(t *testing.T, calls map[string]func(ctx context.Context) error) {
	t.Helper()
	type answer struct {
		of  string
		err error
	}
	answers := make(chan answer, len(calls))
	running := map[string]bool{}
	limit := time.After(Patience + 10*Grace)
	for name, call := range calls {
		running[name] = true
		go func() {
			ctx, cancel := context.WithTimeoutCause(t.Context(), Patience, errMine)
			defer cancel()
			answers <- answer{name, call(ctx)}
		}()
	}
	for len(running) > 0 {
		select {
		case a := <-answers:
			delete(running, a.of)
			wantOwnEnd(t, a.of, a.err)
		case <-limit:
			t.Fatalf("they go on after their ctx of %v has ended: %v", Patience, slices.Collect(maps.Keys(running)))
		}
	}
}

func wantOwnEnd(t *testing.T, call string, err error) {
	t.Helper()
	if strings.HasPrefix(call, "Txn") && errors.Is(err, session.ErrUnknownOutcome) {
		return // the connection may break under it
	}
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errMine) {
		t.Errorf("%s = %v, want its ctx's error and cause", call, err)
	}
	if !errors.Is(err, session.ErrUnavailable) && call != "Watch" {
		t.Errorf("%s = %v, want to be told that etcd is away", call, err)
	}
	if errors.Is(err, line.ErrHeld) || errors.Is(err, session.ErrLost) || errors.Is(err, session.ErrClosed) {
		t.Errorf("%s = %v: it can't know that", call, err)
	}
}

// Within fails the test if f takes ten times as long as was promised.
func Within(t *testing.T, promised time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > 10*promised {
		t.Errorf("%s took %v, promised are %v", what, took, promised)
	}
}

// Unknown makes a call that goes on for the cleanup timeout when its ctx has ended.
func Unknown(t *testing.T, what string, call func() error) {
	t.Helper()
	Within(t, 2*Patience+Grace, what, func() {
		if err := call(); !errors.Is(err, session.ErrUnknownOutcome) {
			t.Errorf("%s = %v, want ErrUnknownOutcome", what, err)
		}
	})
}
