package stilefx_test

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

func TestTheGraphsAreComplete(t *testing.T) {
	elsewhere := clientv3.Config{Endpoints: []string{"http://127.0.0.1:2379"}}
	for name, app := range map[string]fx.Option{
		"module":         stilefx.Module(elsewhere, session.TTL(10*time.Second)),
		"parts":          fx.Options(stilefx.Session(), stilefx.Client(elsewhere)),
		"own server":     fx.Options(stilefx.Session(), serverfx.Server(temporary())),
		"server and TCP": fx.Options(serverfx.ServerOnly(temporary()), stilefx.Module(elsewhere)),
	} {
		if err := fx.ValidateApp(fx.NopLogger, app, stilefx.Run("idle", idle)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := fx.ValidateApp(fx.NopLogger, stilefx.Session(), stilefx.Run("idle", idle)); err == nil {
		t.Error("a session without a client passed")
	}
}

func TestItLinksNoServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, dep := range deps {
		if strings.HasPrefix(dep, "go.etcd.io/etcd/server") || strings.HasPrefix(dep, "github.com/stile-dev/stile/server") {
			t.Errorf("stilefx links %s", dep)
		}
	}
	if len(deps) < 100 {
		t.Errorf("only %d dependencies: was the list read?", len(deps))
	}
}

func TestTheStopIsTheStartInReverse(t *testing.T) {
	tcp := temporary()
	tcp.ClientURLs = []string{"http://" + freeAddress(t)}
	task := stilefx.Run("idle", idle)
	for _, tc := range []struct {
		name string
		app  fx.Option
		want []string
	}{
		{"own server", fx.Options(task, stilefx.Session(), serverfx.Server(temporary())), []string{"server", "session", "task"}},
		{"server elsewhere", fx.Options(task, stilefx.Module(clientv3.Config{Endpoints: []string{recipestest.Endpoint(t)}})), []string{"client", "session", "task"}},
		{
			"own server over TCP",
			fx.Options(task, serverfx.ServerOnly(tcp), stilefx.Module(clientv3.Config{Endpoints: tcp.ClientURLs})),
			[]string{"server", "client", "session", "task"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ran hooks
			app := start(t, fx.WithLogger(func() fxevent.Logger { return &ran }), tc.app)
			began := time.Now()
			if err := stop(app); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("the stop took %v", took)
			}
			if diff := cmp.Diff(thereAndBack(tc.want), ran.ran); diff != "" {
				t.Errorf("hooks (-want +got):\n%s", diff)
			}
		})
	}
}

// thereAndBack is what runs for these parts. A client has nothing to do when it starts.
func thereAndBack(parts []string) []string {
	var start, stop []string
	for _, p := range parts {
		if p != "client" {
			start = append(start, "start "+p)
		}
		stop = append([]string{"stop " + p}, stop...)
	}
	return append(start, stop...)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAServerNeedsNoUser(t *testing.T) {
	var ran hooks
	app := start(t, fx.WithLogger(func() fxevent.Logger { return &ran }), serverfx.Server(temporary()))
	if err := stop(app); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if diff := cmp.Diff(thereAndBack([]string{"server"}), ran.ran); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
}

func TestATaskThatIsStoppedStillHasItsSession(t *testing.T) {
	last := make(chan error, 1)
	app := start(t, serverfx.Server(temporary()), stilefx.Session(),
		stilefx.Run("tidy", func(ctx context.Context, s *session.Session) error {
			<-ctx.Done()
			last <- lock.Do(context.WithoutCancel(ctx), s, "desk", func(context.Context) error { return nil })
			return ctx.Err()
		}))
	if err := stop(app); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := within(t, "the task's last act", last); err != nil {
		t.Errorf("the task's last act: %v", err)
	}
}

func TestWhatIsHeldIsGivenBack(t *testing.T) {
	endpoint := clientv3.Config{Endpoints: []string{recipestest.Endpoint(t)}}
	root := "/test/held"
	held := make(chan struct{})
	app := start(t, stilefx.Module(endpoint, session.Root(root)),
		stilefx.Run("forgetful", func(ctx context.Context, s *session.Session) error {
			_, err := lock.Acquire(ctx, s, "desk")
			close(held)
			return err
		}))
	within(t, "the lock", held)
	if err := stop(app); err != nil {
		t.Errorf("Stop: %v", err)
	}
	start(t, stilefx.Module(endpoint, session.Root(root)), fx.Invoke(func(lc fx.Lifecycle, s *session.Session) {
		lc.Append(fx.StartHook(func(ctx context.Context) error {
			_, err := lock.TryAcquire(ctx, s, "desk")
			return err
		}))
	}))
}
