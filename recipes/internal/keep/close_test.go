package keep

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func TestCloseEndsHoldsThenWaitsForWorkThenRevokes(t *testing.T) {
	bubble(t, func(b *bench) {
		var given atomic.Bool
		h := b.hold(b.open(), func(context.Context) error { given.Store(true); return nil })
		done := make(chan error, 1)
		go func() {
			done <- h.Do(context.Background(), func(ctx context.Context) error {
				<-ctx.Done()
				if cause := context.Cause(ctx); !errors.Is(cause, ErrClosed) {
					t.Errorf("cause %v, want ErrClosed", cause)
				}
				time.Sleep(7 * time.Second)
				if given.Load() || len(b.etcd.at("revoke")) > 0 {
					t.Error("given back while work was going on")
				}
				return nil
			})
		}()
		synctest.Wait()
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("Close = %v", err)
		}
		if at := time.Since(b.clock.start); at != 7*time.Second {
			t.Errorf("closed at %v, want 7 s", at)
		}
		if err := <-done; err != nil {
			t.Errorf("Do = %v, want nil: the work was done and the lock given back", err)
		}
		if at := b.etcd.at("revoke"); !given.Load() || len(at) != 1 || at[0] != 7*time.Second {
			t.Errorf("given back: %v, revoked at %v, want both at 7 s", given.Load(), at)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("second Close = %v", err)
		}
		if _, err := b.Lease(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Lease after Close = %v, want ErrClosed", err)
		}
		if _, err := b.Begin(); !errors.Is(err, ErrClosed) {
			t.Errorf("Begin after Close = %v, want ErrClosed", err)
		}
	})
}

func TestCloseWaitsForWorkNoLongerThanItsContext(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), func(context.Context) error { return nil })
		stop := make(chan struct{})
		go func() { _ = h.Do(context.Background(), func(context.Context) error { <-stop; return nil }) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close = %v", err)
		}
		if at := time.Since(b.clock.start); at != 3*time.Second {
			t.Errorf("closed at %v, want 3 s", at)
		}
		close(stop)
	})
}

func TestCleaningUpIsBounded(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), never)
		err := h.Release(over())
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Release = %v, want ErrUnknownOutcome", err)
		}
		if at := time.Since(b.clock.start); at != DefaultCleanup {
			t.Errorf("Release took %v, want %v", at, DefaultCleanup)
		}
		b.etcd.on("revoke", never)
		err = b.Close(over())
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Close = %v, want ErrUnknownOutcome", err)
		}
		if at := time.Since(b.clock.start); at != 2*DefaultCleanup {
			t.Errorf("Close returned at %v, want %v", at, 2*DefaultCleanup)
		}
	})
}

// TestReleaseEndsWithTheLease: with a ctx without an end and etcd away, there is nothing to wait for once the lease is lost.
func TestReleaseEndsWithTheLease(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		b.etcd.on("renew", never)
		if err := h.Release(context.Background()); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Release = %v, want ErrUnknownOutcome", err)
		}
		if at := time.Since(b.clock.start); at != ttl-margin {
			t.Errorf("Release took %v, want %v", at, ttl-margin)
		}
	})
}

func TestReleaseGoesOnInTheBackground(t *testing.T) {
	bubble(t, func(b *bench) {
		var tries atomic.Int32
		h := b.hold(b.open(), func(ctx context.Context) error {
			if tries.Add(1) == 1 {
				return never(ctx)
			}
			return nil
		})
		_ = h.Release(over())
		synctest.Wait()
		if n := tries.Load(); n != 2 {
			t.Errorf("given back in %d tries, want one in the foreground and one in the background", n)
		}
	})
}

// TestWhatEtcdRefusesInTheBackgroundIsLogged: once, since nobody else hears of it.
func TestWhatEtcdRefusesInTheBackgroundIsLogged(t *testing.T) {
	bubble(t, func(b *bench) {
		var log bytes.Buffer
		b.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		tries := 0
		h := b.hold(b.open(), func(context.Context) error {
			if tries++; tries < 5 {
				return rpctypes.ErrPermissionDenied
			}
			return nil
		})
		if err := h.Release(context.Background()); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("Release = %v, want what etcd said", err)
		}
		time.Sleep(ttl)
		synctest.Wait()
		if got := log.String(); tries != 5 || strings.Count(got, "\n") != 1 || !strings.Contains(got, `what="it: release"`) || !strings.Contains(got, "permission denied") {
			t.Errorf("after %d tries the log says %q, want one line about the first refusal", tries, got)
		}
	})
}

// TestCloseKeepsTimeToRevoke: what can't be given back in time goes with the lease.
func TestCloseKeepsTimeToRevoke(t *testing.T) {
	bubble(t, func(b *bench) {
		b.hold(b.open(), never)
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("Close = %v", err)
		}
		if at := b.etcd.at("revoke"); len(at) != 1 || at[0] != DefaultCleanup/2 {
			t.Errorf("revoked at %v, want after half of the time", at)
		}
	})
}

func TestReleaseOfALostHoldAsksNothing(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), func(context.Context) error { t.Error("given back what was lost"); return nil })
		b.etcd.on("renew", never)
		<-h.Context().Done()
		if err := h.Release(context.Background()); !errors.Is(err, ErrLost) {
			t.Errorf("Release = %v, want ErrLost", err)
		}
	})
}

func TestTheHoldEndsBeforeItIsGivenBack(t *testing.T) {
	bubble(t, func(b *bench) {
		var h *Hold
		h = b.hold(b.open(), func(context.Context) error {
			if h.Context().Err() == nil {
				t.Error("given back while its holder still believed in it")
			}
			return nil
		})
		first := make(chan error)
		go func() { first <- h.Release(context.Background()) }()
		if err := h.Release(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	for what, set := range map[string]func(*Config){
		"negative TTL":   func(c *Config) { c.TTL = -1 },
		"zero TTL":       func(c *Config) { c.TTL = 0 },
		"huge TTL":       func(c *Config) { c.TTL = 1000 * time.Hour },
		"fraction":       func(c *Config) { c.TTL = 4500 * time.Millisecond },
		"short TTL":      func(c *Config) { c.TTL = 3 * time.Second },
		"large margin":   func(c *Config) { c.Margin = 10 * time.Second },
		"bad margin":     func(c *Config) { c.Margin = -1 },
		"no clean-up":    func(c *Config) { c.Cleanup = 0 },
		"root":           func(c *Config) { c.Root = "no/slash" },
		"root with tail": func(c *Config) { c.Root = "/a/" },
	} {
		c := Defaults()
		set(&c)
		if err := c.check(); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	for _, least := range []time.Duration{4 * time.Second, 300 * time.Second} {
		c := Defaults()
		c.TTL = least
		if err := c.check(); err != nil {
			t.Errorf("TTL %v: %v", least, err)
		}
	}
}

// TestNothingBeginsOnceClosed: neither work nor a hold, whatever came before.
func TestNothingBeginsOnceClosed(t *testing.T) {
	bubble(t, func(b *bench) {
		l := b.open()
		h := b.hold(l, nil)
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		err := h.Do(context.Background(), func(context.Context) error { t.Error("the work began"); return nil })
		if !errors.Is(err, ErrClosed) {
			t.Errorf("Do = %v, want ErrClosed", err)
		}
		if _, err := l.Hold(context.Background(), context.Background(), Spec{What: "another"}); err == nil {
			t.Error("a hold began")
		}
	})
	bubble(t, func(b *bench) {
		l := b.open()
		b.shut()
		if _, err := l.Hold(context.Background(), context.Background(), Spec{What: "another"}); !errors.Is(err, ErrClosed) {
			t.Errorf("Hold while closing = %v, want ErrClosed", err)
		}
	})
}

// TestCloseWhileALeaseIsOpened: whatever the answer to the grant does, Close ends.
func TestCloseWhileALeaseIsOpened(t *testing.T) {
	for _, late := range []time.Duration{100 * time.Millisecond, time.Second, 6 * time.Second} {
		bubble(t, func(b *bench) {
			b.etcd.on("grant", after(late))
			b.etcd.on("revoke", after(20*time.Millisecond))
			go func() { _, _ = b.Lease(context.Background()) }()
			synctest.Wait()
			if err := b.Close(over()); errors.Is(err, ErrUnknownOutcome) != (late > grantTimeout) {
				t.Errorf("a grant that takes %v: Close = %v", late, err)
			}
			want := min(late+20*time.Millisecond, grantTimeout)
			if at := time.Since(b.clock.start); at != want {
				t.Errorf("a grant that takes %v: closed after %v, want %v", late, at, want)
			}
			if n := len(b.etcd.at("revoke")); late < grantTimeout && n != 1 {
				t.Errorf("a grant that takes %v: revoked %d times, want once", late, n)
			}
		})
	}
}

func TestDiscardWaitsForNothing(t *testing.T) {
	bubble(t, func(b *bench) {
		b.etcd.on("grant", never)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _ = b.Lease(ctx)
		b.Discard()
		if at := time.Since(b.clock.start); at != time.Second {
			t.Errorf("it took until %v, want 1 s", at)
		}
	})
}
