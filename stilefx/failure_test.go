package stilefx_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

// failing starts an application that can't start, and looks at what is left of it.
func failing(t *testing.T, timeout time.Duration, opts ...fx.Option) error {
	t.Helper()
	before := goleak.IgnoreCurrent()
	app := fx.New(append([]fx.Option{fx.NopLogger}, opts...)...)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	err := app.Start(ctx)
	if err == nil {
		_ = stop(app)
		t.Fatal("it started")
	}
	if ctx.Err() != nil {
		t.Error("the start took all the time that it had: fx stops nothing then")
	}
	leftNothing(t, before)
	return err
}

// leftNothing waits for as long as a session may take to give up a request to an etcd that doesn't answer.
func leftNothing(t *testing.T, before goleak.Option) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := goleak.Find(before) // looks for half a second
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestNothingIsLeftWhenThePortIsTaken(t *testing.T) {
	cfg := temporary()
	cfg.ClientURLs = []string{"http://" + listen(t).Addr().String()}
	err := failing(t, 15*time.Second, serverfx.Server(cfg), stilefx.Session(), stilefx.Run("idle", idle))
	wantIs(t, err, syscall.EADDRINUSE)
}

func TestNothingIsLeftWhenEtcdIsSilent(t *testing.T) {
	silent := listen(t) // connections wait in its queue
	err := failing(t, 4*time.Second,
		stilefx.Module(clientv3.Config{Endpoints: []string{"http://" + silent.Addr().String()}}), stilefx.Run("idle", idle))
	wantIs(t, err, context.DeadlineExceeded)
}

// lateLease is an etcd whose answer to a grant comes when nobody waits for it any more.
type lateLease struct {
	clientv3.Lease
	answer chan struct{}
}

func (l *lateLease) Grant(_ context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	<-l.answer
	return l.Lease.Grant(context.Background(), ttl)
}

func TestALeaseThatComesTooLateIsGivenBack(t *testing.T) {
	client := recipestest.Client(t)
	if _, err := client.Get(t.Context(), "connect"); err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	late := &lateLease{client.Lease, make(chan struct{})}
	client.Lease = late
	app := fx.New(fx.NopLogger, fx.Supply(client), stilefx.Session(), stilefx.Run("idle", idle))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	wantIs(t, app.Start(ctx), context.DeadlineExceeded)
	close(late.answer)
	leftNothing(t, before)
}

func TestAllIsUndoneWhenALaterPartFails(t *testing.T) {
	errLater := errors.New("no licence")
	for name, app := range map[string]fx.Option{
		"own server":       fx.Options(serverfx.Server(temporary()), stilefx.Session()),
		"server elsewhere": stilefx.Module(clientv3.Config{Endpoints: []string{recipestest.Endpoint(t)}}),
	} {
		t.Run(name, func(t *testing.T) {
			err := failing(t, 15*time.Second, app, stilefx.Run("idle", idle),
				fx.Invoke(func(lc fx.Lifecycle) { lc.Append(fx.StartHook(func() error { return errLater })) }))
			wantIs(t, err, errLater)
		})
	}
}

func TestBadSettingsAreErrorsOfTheApplication(t *testing.T) {
	for name, app := range map[string]fx.Option{
		"no endpoint":  stilefx.Module(clientv3.Config{}),
		"negative TTL": fx.Options(serverfx.Server(temporary()), stilefx.Session(session.TTL(-time.Second))),
	} {
		err := fx.New(fx.NopLogger, app, stilefx.Run("idle", idle)).Err()
		if err == nil {
			t.Errorf("%s: it passed", name)
		}
	}
}
