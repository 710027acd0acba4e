package stilefx_test

import (
	"context"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

// TestElected: the task of one application runs at a time, and that of another begins when the first has ended.
func TestElected(t *testing.T) {
	client := recipestest.Client(t)
	runs := make(chan string, 2)
	application := func(name string) *fx.App {
		return start(t, fx.Supply(client), stilefx.Session(), stilefx.Elected("scheduler", func(ctx context.Context, term *election.Term, _ none) error {
			runs <- name
			<-ctx.Done()
			if in, err := election.Leader(context.Background(), client, "scheduler"); err != nil || in.Term != term.Token() {
				t.Errorf("somebody else leads before the task has ended: %+v, %v", in, err)
			}
			return context.Cause(ctx)
		}, election.Value(name)))
	}
	first := application("first")
	if name := within(t, "the first", runs); name != "first" {
		t.Errorf("%s runs", name)
	}
	second, third := application("second"), application("third")
	for i := 0; i < 2; {
		all, err := election.Candidates(t.Context(), client, "scheduler")
		if err != nil {
			t.Fatal(err)
		}
		i = len(all)
	}
	if len(runs) > 0 {
		t.Error("two of them run")
	}
	if err := stop(first); err != nil {
		t.Errorf("Stop: %v", err)
	}
	within(t, "the next", runs)
	for _, app := range []*fx.App{third, second} { // one of them waits
		if err := stop(app); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
}

func TestAFailedElectedTaskStopsTheApplication(t *testing.T) {
	app := start(t, fx.Supply(recipestest.Client(t)), stilefx.Session(),
		stilefx.Elected("x", func(context.Context, *election.Term, none) error { return errDisk }))
	if sig := within(t, "the shutdown", app.Wait()); sig.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", sig.ExitCode)
	}
	wantIs(t, stop(app), errDisk)
	if err := fx.New(fx.NopLogger, fx.Supply(recipestest.Client(t)), stilefx.Session(), stilefx.Elected[none]("x", nil)).Err(); err == nil {
		t.Error("nothing to run: no error")
	}
}

// TestADrainedElectedTaskIsDone: the application goes on.
func TestADrainedElectedTaskIsDone(t *testing.T) {
	client := recipestest.Client(t)
	runs := make(chan struct{}, 1)
	var s *session.Session
	app := start(t, fx.Supply(client), stilefx.Session(), fx.Populate(&s), stilefx.Elected("x", func(ctx context.Context, _ *election.Term, _ none) error {
		runs <- struct{}{}
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	wait := app.Wait()
	within(t, "the task", runs)
	if err := election.Drain(t.Context(), s); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if err := stop(app); err != nil {
		t.Errorf("Stop: %v", err)
	}
	select {
	case sig := <-wait:
		t.Errorf("the application was stopped: %+v", sig)
	default:
	}
}

// TestADrainedElectedTaskThatFailsStopsTheApplication: what it returns is its own, not the end of its context.
func TestADrainedElectedTaskThatFailsStopsTheApplication(t *testing.T) {
	runs := make(chan struct{}, 1)
	var s *session.Session
	app := start(t, fx.Supply(recipestest.Client(t)), stilefx.Session(), fx.Populate(&s), stilefx.Elected("x", func(ctx context.Context, _ *election.Term, _ none) error {
		runs <- struct{}{}
		<-ctx.Done()
		return errDisk
	}))
	wait := app.Wait()
	within(t, "the task", runs)
	if err := election.Drain(t.Context(), s); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if sig := within(t, "the shutdown", wait); sig.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", sig.ExitCode)
	}
	wantIs(t, stop(app), errDisk)
}

func ExampleElected() {
	leads := make(chan struct{})
	app := fx.New(
		fx.NopLogger,
		serverfx.Server(server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}}),
		stilefx.Session(),
		stilefx.Elected("scheduler", func(ctx context.Context, _ *election.Term, client *clientv3.Client) error {
			in, err := election.Leader(ctx, client, "scheduler")
			fmt.Println(in.Value, "leads")
			close(leads)
			<-ctx.Done()
			return err
		}, election.Value("10.0.0.1:8080")),
	)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	<-leads
	if err := app.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: 10.0.0.1:8080 leads
}
