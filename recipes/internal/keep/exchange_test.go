package keep

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestAnExchangeDuringARelease: the release has begun, and has not ended the hold yet.
func TestAnExchangeDuringARelease(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		h.releasing.Do(func() {})
		err := h.Exchange(context.Background(), func(context.Context) error {
			t.Error("what is released is exchanged")
			return nil
		}, nil)
		if !errors.Is(err, ErrReleased) {
			t.Errorf("Exchange = %v, want ErrReleased", err)
		}
		h.lease.drop(h)
		close(h.released)
	})
}

// TestAnExchangeWhileUncertain: whether the hold stands is for etcd to say, and an error would leave it held.
func TestAnExchangeWhileUncertain(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		time.Sleep(30 * time.Millisecond)
		b.clock.pause(time.Hour)
		swapped := false
		err := h.Exchange(context.Background(), func(context.Context) error {
			swapped = true
			return nil
		}, nil)
		if err != nil || !swapped {
			t.Errorf("Exchange = %v, swapped: %v", err, swapped)
		}
	})
}
