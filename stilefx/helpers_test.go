package stilefx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx"
)

const panicEnv = "STILE_TEST_PANIC"

func TestMain(m *testing.M) {
	if os.Getenv(panicEnv) != "" {
		fx.New(fx.NopLogger, fx.RecoverFromPanics(), stilefx.Run("careless", func(context.Context, none) error { panic("ouch") })).Run()
		os.Exit(0)
	}
	recipestest.Main(m)
}

// none is what a task takes that needs nothing.
type none struct{ fx.In }

// temporary is a server for one test.
func temporary() server.Config {
	return server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}, NoFsync: true}
}

// idle is a task that ends when it is told to.
func idle(ctx context.Context, _ *session.Session) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// hooks records the order in which hooks ran.
type hooks struct {
	mu  sync.Mutex
	ran []string
}

func (h *hooks) LogEvent(e fxevent.Event) {
	switch e := e.(type) {
	case *fxevent.OnStartExecuted:
		h.add("start ", e.CallerName, e.Err)
	case *fxevent.OnStopExecuted:
		h.add("stop ", e.CallerName, e.Err)
	}
}

func (h *hooks) add(act, caller string, err error) {
	for part, name := range map[string]string{"serverfx.": "server", "stilefx.Client": "client", "stilefx.Session": "session", "stilefx.Run": "task"} {
		if strings.Contains(caller, part) {
			caller = name
		}
	}
	text := act + caller
	if err != nil {
		text += fmt.Sprintf(" (%v)", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ran = append(h.ran, text)
}

// start starts an application. Whatever becomes of the test, it is stopped at its end.
func start(t *testing.T, opts ...fx.Option) *fx.App {
	t.Helper()
	app := fx.New(append([]fx.Option{fx.NopLogger}, opts...)...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { _ = stop(app) })
	return app
}

func stop(app *fx.App) error {
	ctx, cancel := context.WithTimeout(context.Background(), app.StopTimeout())
	defer cancel()
	return app.Stop(ctx)
}

// within waits for ch, as for anything that surely comes.
func within[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("waited for %s in vain", what)
		panic("unreachable")
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
