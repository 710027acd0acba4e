package stilefx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/stilefx"
	"github.com/stile-dev/stile/stilefx/serverfx"
)

var errDisk = errors.New("the disk is full")

func TestAFailedTaskStopsTheApplication(t *testing.T) {
	app := start(t, stilefx.Run("writer", func(context.Context, none) error { return errDisk }))
	if sig := within(t, "the shutdown", app.Wait()); sig.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", sig.ExitCode)
	}
	err := stop(app)
	wantIs(t, err, errDisk)
	if want := `task "writer": the disk is full`; err == nil || err.Error() != want {
		t.Errorf("Stop: %v, want %s", err, want)
	}
}

func TestTasksMayFailAtOnce(t *testing.T) {
	go1 := make(chan struct{})
	fails := func(context.Context, none) error { <-go1; return errDisk }
	app := start(t, stilefx.Run("a", fails), stilefx.Run("b", fails), stilefx.Run("c", fails))
	wait := app.Wait()
	close(go1)
	if sig := within(t, "the shutdown", wait); sig.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", sig.ExitCode)
	}
	err := stop(app)
	for _, name := range []string{"a", "b", "c"} {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("task %q", name)) {
			t.Errorf("Stop: %v: nothing of task %q", err, name)
		}
	}
}

func TestATaskThatReturnsNilIsDone(t *testing.T) {
	app := start(t, stilefx.Run("once", func(context.Context, none) error { return nil }))
	wait := app.Wait()
	if err := stop(app); err != nil {
		t.Errorf("Stop: %v", err)
	}
	select {
	case sig := <-wait: // Stop joined the task, so that it would be here by now
		t.Errorf("the application was stopped: %+v", sig)
	default:
	}
}

func TestATaskOutlivesTheStartAndHearsWhyItEnds(t *testing.T) {
	started, cause := make(chan context.Context, 1), make(chan error, 1)
	app := fx.New(fx.NopLogger, stilefx.Run("idle", func(ctx context.Context, _ none) error {
		started <- ctx
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	if err := app.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := within(t, "the task", started).Err(); err != nil {
		t.Errorf("the task's ctx ended with the start's: %v", err)
	}
	if err := stop(app); err != nil {
		t.Errorf("Stop: %v", err)
	}
	wantIs(t, within(t, "the cause", cause), stilefx.ErrStopping)
}

func TestWhichErrorsTellOfTheStopAlone(t *testing.T) {
	for _, tc := range []struct {
		err     error
		failure bool
	}{
		{err: nil},
		{err: context.Canceled},
		{err: fmt.Errorf("take from the queue: %w", stilefx.ErrStopping)},
		{err: errDisk, failure: true},
		{err: fmt.Errorf("%w (the work returned: %w)", session.ErrLost, context.Canceled), failure: true},
	} {
		t.Run(fmt.Sprint(tc.err), func(t *testing.T) {
			app := start(t, stilefx.Run("writer", func(ctx context.Context, _ none) error {
				<-ctx.Done()
				return tc.err
			}))
			err := stop(app)
			switch {
			case !tc.failure && err != nil:
				t.Errorf("Stop: %v, want nil", err)
			case tc.failure:
				wantIs(t, err, tc.err)
			}
		})
	}
}

func TestCanceledIsAFailureOfATaskThatWasNotStopped(t *testing.T) {
	app := start(t, stilefx.Run("hasty", func(context.Context, none) error { return context.Canceled }))
	if sig := within(t, "the shutdown", app.Wait()); sig.ExitCode != 1 {
		t.Errorf("exit code %d, want 1", sig.ExitCode)
	}
	wantIs(t, stop(app), context.Canceled)
}

// A task that ignores its ctx, while it holds a lock, costs neither its name in the error nor the stop of the rest.
func TestATaskThatIgnoresItsStopIsNamed(t *testing.T) {
	working, finish, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var s *session.Session
	app := start(t, serverfx.Server(temporary()), stilefx.Session(), fx.Populate(&s),
		stilefx.Run("deaf", func(_ context.Context, s *session.Session) error {
			defer close(returned)
			return lock.Do(context.Background(), s, "desk", func(context.Context) error {
				close(working)
				<-finish
				return nil
			})
		}))
	within(t, "the task", working)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	err := app.Stop(ctx)
	if ctx.Err() != nil {
		t.Error("the stop took all the time that it had")
	}
	wantIs(t, err, context.DeadlineExceeded)
	if err == nil || !strings.Contains(err.Error(), `task "deaf"`) || strings.Contains(err.Error(), "session") {
		t.Errorf("Stop: %v: want the task's name, and no more", err)
	}
	_, err = lock.TryAcquire(t.Context(), s, "another desk")
	wantIs(t, err, session.ErrClosed)
	close(finish)
	within(t, "the task's end", returned)
}

func TestATaskTakesSeveralThings(t *testing.T) {
	type needs struct {
		fx.In
		Session  *session.Session
		Greeting string
	}
	got := make(chan string, 1)
	app := start(t, serverfx.Server(temporary()), stilefx.Session(), fx.Supply("hello"),
		stilefx.Run("greet", func(_ context.Context, d needs) error {
			got <- fmt.Sprint(d.Greeting, " ", d.Session.Granted() > 0)
			return nil
		}))
	if text := within(t, "the greeting", got); text != "hello true" {
		t.Errorf("got %q, want %q", text, "hello true")
	}
	if err := stop(app); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func TestATaskThatIsNilIsRefused(t *testing.T) {
	err := fx.New(fx.NopLogger, stilefx.Run[none]("empty", nil)).Err()
	if err == nil || !strings.Contains(err.Error(), `task "empty"`) {
		t.Errorf("got %v, want an error that names the task", err)
	}
}

func TestAPanicEndsTheProcess(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), panicEnv+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "panic: ouch") {
		t.Errorf("%v: %s", err, out)
	}
}
