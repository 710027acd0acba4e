package serverfx

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/stile-dev/stile/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mortal is a server that dies when it is told to.
type mortal struct {
	done chan struct{}
	once sync.Once
	err  error
}

func (m *mortal) Start(context.Context) error { return nil }
func (m *mortal) Close(context.Context) error { m.end(nil); return nil }
func (m *mortal) Done() <-chan struct{}       { return m.done }

func (m *mortal) Err() error {
	select {
	case <-m.done:
		return m.err
	default:
		return nil
	}
}

func (m *mortal) end(err error) {
	m.once.Do(func() {
		m.err = err
		close(m.done)
	})
}

func startMortal(t *testing.T) (*mortal, *fx.App) {
	t.Helper()
	m := &mortal{done: make(chan struct{})}
	app := fx.New(fx.NopLogger, fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner) { watch(lc, sd, m) }))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m, app
}

func TestTheApplicationEndsWithItsServer(t *testing.T) {
	m, app := startMortal(t)
	errLog := errors.New("its log is damaged")
	m.end(errLog)
	select {
	case sig := <-app.Wait():
		if sig.ExitCode != 1 {
			t.Errorf("exit code %d, want 1", sig.ExitCode)
		}
	case <-time.After(10 * time.Second):
		t.Error("the application goes on without its server")
	}
	if err := app.Stop(t.Context()); !errors.Is(err, errLog) {
		t.Errorf("Stop: %v, want %v", err, errLog)
	}
}

func TestAServerThatWasClosedHasNotFailed(t *testing.T) {
	_, app := startMortal(t)
	wait := app.Wait()
	if err := app.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	select {
	case sig := <-wait: // Stop waited for whoever could have sent it
		t.Errorf("the application was told to stop: %+v", sig)
	default:
	}
}

func TestTheClientIsThatOfTheServer(t *testing.T) {
	cfg := server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}, NoFsync: true}
	app := fxtest.New(t, fx.NopLogger, Server(cfg), fx.Invoke(func(lc fx.Lifecycle, s *server.Server, c *clientv3.Client) {
		if c != s.Client() {
			t.Error("it is another")
		}
		lc.Append(fx.StartHook(func(ctx context.Context) error {
			_, err := c.Put(ctx, "k", "v")
			return err
		}))
	}))
	app.RequireStart().RequireStop()
}
