package keep

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// offTick is an instant at which the watchdog isn't just looking.
const offTick = time.Second + 30*time.Millisecond

func TestALeaseIsRenewedAtAThirdOfItsTTL(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		time.Sleep(17 * time.Second)
		if want := []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second}; !slices.Equal(b.etcd.at("renew"), want) {
			t.Errorf("renewed at %v, want %v", b.etcd.at("renew"), want)
		}
		if err := h.Err(); err != nil {
			t.Errorf("renewed in time, and yet: %v", err)
		}
		h.End(ErrReleased)
	})
}

func TestTrustEndsAMarginBeforeTheLeaseCan(t *testing.T) {
	for name, renew := range map[string]func(context.Context) error{
		"no answers": never,
		"errors":     func(context.Context) error { return errors.New("unavailable") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				l := b.open()
				h := b.hold(l, nil)
				b.etcd.on("renew", renew)
				b.endsAt(h, ttl-margin)
				if cause := context.Cause(h.Context()); !errors.Is(cause, ErrLost) {
					t.Errorf("cause %v, want ErrLost", cause)
				}
				if n := len(b.etcd.at("renew")); n < 3 {
					t.Errorf("%d attempts to renew, want several before giving up", n)
				}
			})
		})
	}
}

func TestTrustCountsFromTheSendingOfTheRequest(t *testing.T) {
	bubble(t, func(b *bench) {
		b.etcd.on("grant", after(4*time.Second))
		l := b.open() // answered at 4 s, sent at 0
		h := b.hold(l, nil)
		b.etcd.on("renew", never)
		b.endsAt(h, ttl-margin)
	})
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("renew", after(2*time.Second)) // sent at 5 s, answered at 7 s, the next is sent at 10 s
		time.Sleep(8 * time.Second)
		b.etcd.on("renew", never)
		b.endsAt(h, 5*time.Second+ttl-margin)
	})
}

func TestTrustIsWhatWasGranted(t *testing.T) {
	bubble(t, func(b *bench) {
		b.etcd.ttl = 60
		l := b.open()
		h := b.hold(l, nil)
		b.etcd.on("renew", never)
		if b.Granted() != time.Minute {
			t.Errorf("granted %v, want what etcd answered", b.Granted())
		}
		b.endsAt(h, time.Minute-margin)
	})
}

func TestLossIsForEver(t *testing.T) {
	bubble(t, func(b *bench) {
		l := b.open()
		h := b.hold(l, nil)
		b.etcd.on("renew", never)
		<-h.Context().Done()
		b.etcd.on("renew", nil)
		if l.renewed(now(b.clock), ttl) {
			t.Error("an answer that came late revived the lease")
		}
		if err := h.Err(); !errors.Is(err, ErrLost) {
			t.Errorf("Err() = %v, want ErrLost", err)
		}
		if _, err := l.Hold(context.Background(), context.Background(), Spec{What: "another"}); !errors.Is(err, ErrLost) {
			t.Errorf("a new hold on a lost lease: %v, want ErrLost", err)
		}
		n := len(b.etcd.at("renew"))
		time.Sleep(time.Minute)
		if got := b.etcd.at("renew"); len(got) != n {
			t.Errorf("a lost lease was renewed again, at %v", got[n:])
		}
		next := b.open()
		if next == l {
			t.Error("the lost lease was handed out again")
		}
		if err := b.hold(next, nil).Err(); err != nil {
			t.Errorf("a hold on the next lease: %v", err)
		}
	})
}

func TestAnAnswerAfterTheDeadlineChangesNothing(t *testing.T) {
	bubble(t, func(b *bench) {
		l := b.open()
		sent := now(b.clock)
		b.etcd.on("renew", never)
		b.clock.suspend(ttl - margin) // no timer has fired yet
		if l.renewed(sent, ttl) {
			t.Error("a renewal counted although its answer came at the deadline")
		}
		if err := l.Err(); !errors.Is(err, ErrLost) {
			t.Errorf("Err() = %v, want ErrLost", err)
		}
	})
}

func TestSuspendedTimeCounts(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		time.Sleep(offTick)
		b.clock.suspend(ttl)
		if err := h.Err(); !errors.Is(err, ErrLost) {
			t.Errorf("right after the resume: Err() = %v, want ErrLost", err)
		}
	})
	bubble(t, func(b *bench) {
		l := b.open()
		b.clock.suspend(ttl)
		if err := l.renewOnce(l.ctx); err != nil || l.ctx.Err() == nil || len(b.etcd.at("renew")) > 0 {
			t.Errorf("a renewal after the trust had run out: %v, asked at %v", err, b.etcd.at("renew"))
		}
	})
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		time.Sleep(offTick)
		b.clock.suspend(ttl)
		b.endsAt(h, time.Second+lookEvery) // the watchdog's next look
	})
}

func TestALeaseThatEtcdDoesNotKnowIsLost(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("renew", notFound)
		b.endsAt(h, 5*time.Second)
	})
}

// TestAPausedVirtualMachineBelievesNothingUnasked: both clocks stood still, and the wall clock was then put right.
func TestAPausedVirtualMachineBelievesNothingUnasked(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		time.Sleep(offTick)
		b.clock.pause(time.Hour)
		if err := h.Err(); !errors.Is(err, ErrUncertain) || errors.Is(err, ErrLost) {
			t.Errorf("after the jump: Err() = %v, want ErrUncertain", err)
		}
		time.Sleep(lookEvery) // the watchdog sees it, and etcd confirms the lease
		synctest.Wait()
		if err := h.Err(); err != nil {
			t.Errorf("after etcd has confirmed it: Err() = %v, want nil", err)
		}
		if at := b.etcd.at("renew"); len(at) != 1 {
			t.Errorf("asked at %v, want once, at once", at)
		}
	})
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("renew", notFound)
		time.Sleep(offTick)
		b.clock.pause(time.Hour)
		b.endsAt(h, time.Second+lookEvery)
	})
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("renew", never)
		b.clock.pause(time.Hour)
		time.Sleep(10 * time.Second)
		if err := h.Err(); !errors.Is(err, ErrUncertain) {
			t.Errorf("etcd has not answered: Err() = %v, want ErrUncertain", err)
		}
	})
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.clock.pause(margin / 2)
		b.clock.pause(-time.Hour)
		time.Sleep(lookEvery)
		if err := h.Err(); err != nil {
			t.Errorf("a clock that is put right a little, or put back, is no pause: %v", err)
		}
	})
}

// TestASmallJumpCountsAsTime: a pause too short to be told from a clock that is put right must not eat into the margin.
func TestASmallJumpCountsAsTime(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("renew", never)
		b.clock.pause(margin / 2)
		b.endsAt(h, ttl-margin-margin/2)
	})
	bubble(t, func(b *bench) { // until the next renewal, which knows of it
		h := b.hold(b.open(), nil)
		b.clock.pause(margin / 2)
		time.Sleep(ttl / 2)
		b.etcd.on("renew", never)
		b.endsAt(h, ttl/renewals+ttl-margin)
	})
}

// TestANewLeaseAfterALossIsNotForEverLate: only the first grant after a loss waits for others.
func TestANewLeaseAfterALossIsNotForEverLate(t *testing.T) {
	bubble(t, func(b *bench) {
		first := b.open()
		first.lose(ErrLost)
		second := b.open()
		second.end(ErrReleased) // without a loss
		b.mu.Lock()
		b.lease = nil
		pause := b.pause()
		b.mu.Unlock()
		if pause != 0 {
			t.Errorf("the grant after the next waits %v as well", pause)
		}
	})
}

// TestARenewalAcrossAPause: sent before the pause, answered after it. What it says is too old to count.
func TestARenewalAcrossAPause(t *testing.T) {
	bubble(t, func(b *bench) {
		l := b.open()
		sent := now(b.clock)
		b.etcd.on("renew", never)
		time.Sleep(offTick)
		b.clock.pause(time.Hour)
		l.renewed(sent, 10*ttl)
		h := &Hold{ctx: l.ctx}
		b.endsAt(h, ttl-margin)
	})
}

func TestALostLeaseIsRevokedAfterTheWorkOnIt(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("renew", never)
		err := h.Do(context.Background(), func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(20 * time.Second) // it takes its time to stop
			synctest.Wait()
			if at := b.etcd.at("revoke"); len(at) > 0 {
				t.Errorf("revoked at %v, while work was going on", at)
			}
			return nil
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("Do = %v, want ErrLost although the work returned nil", err)
		}
		synctest.Wait()
		if at, want := b.etcd.at("revoke"), []time.Duration{ttl - margin + 20*time.Second}; !slices.Equal(at, want) {
			t.Errorf("revoked at %v, want %v", at, want)
		}
	})
}

func TestTheNextLeaseAfterALossIsJittered(t *testing.T) {
	pauses := map[time.Duration]bool{}
	for range 10 {
		bubble(t, func(b *bench) {
			b.open()
			b.etcd.on("renew", never)
			time.Sleep(ttl)
			lost := time.Since(b.clock.start)
			b.open()
			late := time.Since(b.clock.start) - lost
			pauses[late] = true
			if late > longestPause {
				t.Errorf("the next lease came after %v, want at most %v", late, longestPause)
			}
			if at := b.etcd.at("grant"); len(at) != 2 {
				t.Errorf("grants at %v, want 2", at)
			}
		})
	}
	if len(pauses) < 5 {
		t.Errorf("ten sessions that lost their leases at one time came back after %v", pauses)
	}
}

// TestALossSaysWhyItWasNotRenewed, so that the user need not guess whether etcd was away or refused.
func TestALossSaysWhyItWasNotRenewed(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), nil)
		b.etcd.on("renew", func(context.Context) error { return rpctypes.ErrPermissionDenied })
		<-h.Context().Done()
		if cause := context.Cause(h.Context()); !errors.Is(cause, ErrLost) || !errors.Is(cause, rpctypes.ErrPermissionDenied) {
			t.Errorf("cause %v, want ErrLost and why the renewals failed", cause)
		}
	})
}

// TestOutagesLeaveNothingBehind: leases that could not be revoked are not remembered for ever.
func TestOutagesLeaveNothingBehind(t *testing.T) {
	bubble(t, func(b *bench) {
		b.etcd.on("revoke", never)
		for range 5 {
			b.etcd.on("renew", never)
			b.open()
			time.Sleep(2 * time.Minute)
			b.etcd.on("renew", nil)
		}
		if n := len(b.all()); n != 0 {
			t.Errorf("%d leases are remembered", n)
		}
	})
}

func TestManyAskForOneLease(t *testing.T) {
	bubble(t, func(b *bench) {
		b.etcd.on("grant", after(time.Second))
		got := make(chan *Lease, 50)
		for range 50 {
			go func() { got <- b.open() }()
		}
		first := <-got
		for range 49 {
			if l := <-got; l != first {
				t.Error("two leases for one session")
			}
		}
		if at := b.etcd.at("grant"); len(at) != 1 {
			t.Errorf("grants at %v, want 1", at)
		}
	})
}

func TestOpeningFailsWhileEtcdIsAway(t *testing.T) {
	bubble(t, func(b *bench) {
		b.etcd.on("grant", never)
		if _, err := b.Lease(context.Background()); !errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lease = %v, want ErrUnavailable, and no deadline of the caller's", err)
		}
		if at := time.Since(b.clock.start); at != requestTimeout {
			t.Errorf("it took %v, want %v", at, requestTimeout)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := b.Lease(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("Lease = %v, want the end of its ctx, and ErrUnavailable", err)
		}
		if at := time.Since(b.clock.start); at != requestTimeout+time.Second {
			t.Errorf("it took until %v, want %v", at, requestTimeout+time.Second)
		}
	})
}

// TestAHolderHasItsMarginAfterALoss: nobody else can have the lock from the instant of the loss on.
func TestAHolderHasItsMarginAfterALoss(t *testing.T) {
	for _, releases := range []bool{false, true} {
		bubble(t, func(b *bench) {
			h := b.hold(b.open(), nil)
			b.etcd.on("renew", never)
			<-h.Context().Done()
			time.Sleep(margin / 2)
			if at := b.etcd.at("revoke"); len(at) > 0 {
				t.Errorf("revoked at %v, while its holder had time to stop", at)
			}
			want := ttl
			if releases {
				_ = h.Release(context.Background())
				want = ttl - margin/2
			}
			time.Sleep(margin)
			if at := b.etcd.at("revoke"); len(at) != 1 || at[0] != want {
				t.Errorf("revoked at %v, want %v", at, want)
			}
		})
	}
}
