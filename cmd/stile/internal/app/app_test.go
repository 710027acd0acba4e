package app

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fx undoes nothing when the ctx of its start has ended: what had started would stay, a server and its directory, say.
func TestWhatStartedIsStoppedEvenIfCtxEndsMeanwhile(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stopped := false
	hook := func(lc fx.Lifecycle) {
		lc.Append(fx.StopHook(func() { stopped = true }))
		lc.Append(fx.StartHook(cancel))
	}
	if err := Run(ctx, fx.Invoke(hook)); err != nil || !stopped {
		t.Errorf("%v, stopped %v; want no error, and all stopped", err, stopped)
	}
}

func TestErrorsComeWithoutTheWayThroughTheWiring(t *testing.T) {
	cause := errors.New("what is wrong")
	build := func() (int, error) { return 0, cause }
	if err := Run(t.Context(), fx.Provide(build), fx.Invoke(func(int) {})); err == nil || err.Error() != cause.Error() {
		t.Errorf("got %v, want %v alone", err, cause)
	}
	fails := func(lc fx.Lifecycle) { lc.Append(fx.StartHook(func() error { return cause })) }
	if err := Run(t.Context(), fx.Invoke(fails)); err == nil || err.Error() != cause.Error() {
		t.Errorf("got %v, want %v alone", err, cause)
	}
}

func TestEndsWhenTheApplicationDoes(t *testing.T) {
	ends := func(lc fx.Lifecycle, sd fx.Shutdowner) {
		lc.Append(fx.StartHook(func() error { return sd.Shutdown() }))
	}
	if err := Run(t.Context(), fx.Invoke(ends)); err != nil {
		t.Error(err)
	}
}
