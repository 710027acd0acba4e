package keep

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func asks(t *testing.T, grace time.Duration) *mvccpb.KeyValue {
	t.Helper()
	b, err := json.Marshal(Revocation{Act: ActRevoke, Reason: "why", By: "ops", Grace: Seconds(grace)})
	if err != nil {
		t.Fatal(err)
	}
	return &mvccpb.KeyValue{Value: b}
}

// TestTheEndOfTheGrace: it ends then and not before, and is given back once, then. A longer wish changes nothing, a shorter one does.
func TestTheEndOfTheGrace(t *testing.T) {
	bubble(t, func(b *bench) {
		gave := 0
		h := b.hold(b.open(), func(context.Context) error { gave++; return nil })
		h.ask(asks(t, 4*time.Second))
		<-h.Revoking()
		h.ask(asks(t, time.Hour))
		h.ask(asks(t, 3*time.Second))
		b.endsAt(h, 3*time.Second)
		var revoked *RevokedError
		if why := h.Err(); !errors.As(why, &revoked) || !errors.Is(why, ErrLost) || time.Duration(revoked.Grace) != 3*time.Second {
			t.Errorf("Err = %v, want a RevokedError that Is ErrLost", why)
		}
		if err := h.Release(context.Background()); !errors.As(err, &revoked) || gave != 1 {
			t.Errorf("Release = %v, given back %d times; want the RevokedError, once", err, gave)
		}
	})
}

func TestTheLongestHold(t *testing.T) {
	bubble(t, func(b *bench) {
		gave := 0
		give := func(context.Context) error { gave++; return nil }
		h, err := b.open().Hold(context.Background(), context.Background(), Spec{What: "it", Give: give, Max: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		err = h.Do(context.Background(), func(ctx context.Context) error {
			b.endsAt(h, 2*time.Second)
			time.Sleep(time.Second)
			if gave != 0 {
				t.Error("it was given back while the work went on")
			}
			return nil
		})
		if !errors.Is(err, ErrMaxHold) || !errors.Is(err, ErrLost) || gave != 1 {
			t.Errorf("Do = %v, given back %d times; want ErrMaxHold, once", err, gave)
		}
	})
}

// TestAReleaseIsNotEndedAgain: the timer of the grace does nothing to what was released.
func TestAReleaseIsNotEndedAgain(t *testing.T) {
	bubble(t, func(b *bench) {
		gave := 0
		h := b.hold(b.open(), func(context.Context) error { gave++; return nil })
		h.ask(asks(t, time.Second))
		if err := h.Release(context.Background()); err != nil {
			t.Errorf("Release within the grace = %v", err)
		}
		time.Sleep(5 * time.Second)
		if !errors.Is(h.Err(), ErrReleased) || gave != 1 {
			t.Errorf("Err = %v, given back %d times; want ErrReleased, once", h.Err(), gave)
		}
	})
}

func TestWhatStandsBesideAKey(t *testing.T) {
	for key, want := range map[string]bool{"/r/lock/a/e/1": false, "/r!/lock/a/e/1": false, RevokeKey("/r/lock/a/e/1"): true, "/r/x/p/r/1-0!value": true} {
		if got := IsBeside(key); got != want {
			t.Errorf("IsBeside(%q) = %v", key, got)
		}
	}
}

// TestTheWishThatCountsIsTold: the one with the earliest end, and not the last.
func TestTheWishThatCountsIsTold(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		h.ask(asks(t, math.MaxInt64)) // as long as can be, and not at once
		if h.Err() != nil {
			t.Errorf("the longest grace is over at once: %v", h.Err())
		}
		h.ask(asks(t, time.Second))
		h.ask(asks(t, time.Hour))
		if got := h.Revocation(); time.Duration(got.Grace) != time.Second {
			t.Errorf("Revocation tells of %v, want 1s", time.Duration(got.Grace))
		}
		b.endsAt(h, time.Second)
	})
}

// TestReleasingUnderTheWork ends the hold, and nobody else gets it before the work has returned.
func TestReleasingUnderTheWork(t *testing.T) {
	bubble(t, func(b *bench) {
		gave := false
		h := b.hold(b.open(), func(context.Context) error { gave = true; return nil })
		err := h.Do(context.Background(), func(ctx context.Context) error {
			if err := h.Release(ctx); err != nil || gave || !errors.Is(context.Cause(ctx), ErrReleased) {
				t.Errorf("Release = %v, given back: %v, the work's ctx: %v", err, gave, context.Cause(ctx))
			}
			return nil
		})
		if err != nil || !gave {
			t.Errorf("Do = %v, given back: %v", err, gave)
		}
	})
}
