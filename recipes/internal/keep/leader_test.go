package keep

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestARenewalByAnOldLeaderDoesNotCount: a leader that was cut off, or stood still, renews leases that its successor ends.
func TestARenewalByAnOldLeaderDoesNotCount(t *testing.T) {
	for name, read := range map[string]func(b *bench) error{
		"another was elected since": func(b *bench) error { b.etcd.elect(); return nil },
		"nobody confirms the read":  func(*bench) error { return errors.New("no leader") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				h := b.hold(b.open(), nil)
				b.etcd.on("read", func(context.Context) error { return read(b) })
				ended := make(chan time.Duration, 1)
				context.AfterFunc(h.Context(), func() { ended <- time.Since(b.clock.start) })
				select {
				case at := <-ended:
					if at != ttl-margin {
						t.Errorf("it ended at %v, want %v", at, ttl-margin)
					}
				case <-time.After(10 * ttl):
					t.Error("it is trusted still")
					h.End(ErrReleased)
				}
				if n := len(b.etcd.at("renew")); n < 3 {
					t.Errorf("%d renewals, want several before giving up", n)
				}
			})
		})
	}
}

// TestARenewalByTheNextLeaderCounts: the first attempt after an election doesn't, for the member that answered was behind.
func TestARenewalByTheNextLeaderCounts(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("read", func(context.Context) error {
			if len(b.etcd.at("read")) == 1 {
				b.etcd.elect()
			}
			return nil
		})
		<-time.After(ttl) // of the bubble
		if err := h.Err(); err != nil {
			t.Errorf("renewed by the next leader, and yet: %v", err)
		}
		h.End(ErrReleased)
	})
}

func TestAReadThatIsSlowIsGivenUpInTimeForTheNext(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("read", func(ctx context.Context) error {
			if len(b.etcd.at("read")) == 1 {
				return never(ctx)
			}
			return nil
		})
		<-time.After(ttl) // of the bubble
		if err := h.Err(); err != nil {
			t.Errorf("the second read was answered, and yet: %v", err)
		}
		h.End(ErrReleased)
	})
}
