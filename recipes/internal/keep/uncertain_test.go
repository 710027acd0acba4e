package keep

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestAfterAJumpEveryKeyIsRead: the lease being there is not enough; somebody may have taken a key meanwhile.
func TestAfterAJumpEveryKeyIsRead(t *testing.T) {
	bubble(t, func(b *bench) {
		l := b.open()
		kv := b.withKeys(map[string]int64{})
		var mine []*Hold
		for i := range 300 { // more than one Txn may read
			key := fmt.Sprint("k", i)
			kv.set(key, 7)
			mine = append(mine, b.holdKey(l, key, 7))
		}
		kv.set("k17", 9) // rewritten: it has the same create revision
		kv.set("k18", 0)
		time.Sleep(30 * time.Millisecond)
		b.clock.pause(time.Hour)
		time.Sleep(lookEvery)
		synctest.Wait()
		for i, h := range mine {
			if lost := errors.Is(h.Err(), ErrLost); lost != (i == 17 || i == 18) {
				t.Errorf("hold %d: %v", i, h.Err())
			}
		}
		if kv.sent() != 3 {
			t.Errorf("%d Txns to read 300 keys, want 3", kv.sent())
		}
	})
}

// TestAJumpIsNotForgotten: the renewal that was due anyway was sent after the jump, and before the watchdog looked.
func TestAJumpIsNotForgotten(t *testing.T) {
	bubble(t, func(b *bench) {
		l := b.open()
		kv := b.withKeys(map[string]int64{})
		h := b.holdKey(l, "k", 7) // which somebody has deleted
		time.Sleep(30 * time.Millisecond)
		b.clock.pause(time.Hour)
		if err := l.renewOnce(l.ctx); err != nil {
			t.Fatal(err)
		}
		if err := h.Err(); !errors.Is(err, ErrLost) || kv.sent() != 1 {
			t.Errorf("Err() = %v after %d reads, want ErrLost after one", err, kv.sent())
		}
	})
}

func TestAnUncertainLeaseIsKept(t *testing.T) {
	bubble(t, func(b *bench) {
		first := b.open()
		for range 5 {
			time.Sleep(7*time.Second + 37*time.Millisecond) // between two looks of the watchdog
			b.clock.pause(time.Minute)
			if _, err := b.Lease(context.Background()); !errors.Is(err, ErrUncertain) {
				t.Errorf("Lease right after a jump = %v, want ErrUncertain", err)
			}
			synctest.Wait()
			if l := b.open(); l != first {
				t.Error("a jump of the clock cost the lease")
			}
		}
		if at := b.etcd.at("grant"); len(at) != 1 {
			t.Errorf("grants at %v, want 1", at)
		}
	})
}

// TestWhatIsGainedWhileUncertainIsKept: a waiter got to the head just after the jump.
func TestWhatIsGainedWhileUncertainIsKept(t *testing.T) {
	bubble(t, func(b *bench) {
		l := b.open()
		time.Sleep(30 * time.Millisecond)
		b.clock.pause(time.Hour)
		if err := b.hold(l, nil).Err(); err != nil {
			t.Errorf("Err() = %v, want nil once etcd has confirmed the lease", err)
		}
	})
}
