package keep

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// outliving is a lease, and the one that outlives it.
func outliving(b *bench) (*Lease, *Outliving) {
	b.Helper()
	l := b.open()
	o, err := l.Outliving(context.Background(), time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	return l, o
}

// leases are the leases of the requests of one kind, in order.
func (f *fakeLeases) leases(what string) (ids []clientv3.LeaseID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c.what == what {
			ids = append(ids, c.id)
		}
	}
	return ids
}

func TestWhatOutlivesALeaseIsRenewedBeforeIt(t *testing.T) {
	bubble(t, func(b *bench) {
		l, o := outliving(b)
		if again, err := l.Outliving(context.Background(), time.Minute); err != nil || again != o {
			t.Errorf("the same delay again: %v, %v, want the same lease", again, err)
		}
		if b.etcd.asks != 80 { // 15 s, a third of that, and a minute
			t.Errorf("a TTL of %d s was asked for, want 80", b.etcd.asks)
		}
		time.Sleep(offTick + 10*time.Second)
		if want := []clientv3.LeaseID{o.id, l.id, o.id, l.id}; !slices.Equal(b.etcd.leases("renew"), want) {
			t.Errorf("renewed: %x, want %x", b.etcd.leases("renew"), want)
		}
	})
}

// TestALeaseDoesNotGetAheadOfWhatOutlivesIt: as long as that isn't renewed it isn't either, and it is lost in time.
func TestALeaseDoesNotGetAheadOfWhatOutlivesIt(t *testing.T) {
	bubble(t, func(b *bench) {
		l, o := outliving(b)
		o.Enter()
		h := b.hold(l, nil)
		b.etcd.on("renew", func(context.Context) error {
			if ids := b.etcd.leases("renew"); ids[len(ids)-1] == o.id {
				return errors.New("unavailable")
			}
			return nil
		})
		b.endsAt(h, ttl-margin)
		if slices.Contains(b.etcd.leases("renew"), l.id) {
			t.Error("the lease was renewed, and what is to outlive it was not")
		}
		_ = h.Release(context.Background())
		time.Sleep(time.Hour)
		if want := []clientv3.LeaseID{l.id}; !slices.Equal(b.etcd.leases("revoke"), want) {
			t.Errorf("revoked: %x, want %x alone, for something is left on the other", b.etcd.leases("revoke"), want)
		}
	})
}

func TestARenewalByAnOldLeaderDoesNotCountForWhatOutlivesALease(t *testing.T) {
	bubble(t, func(b *bench) {
		l, _ := outliving(b)
		b.etcd.on("read", func(context.Context) error { return errNewLeader })
		time.Sleep(6 * time.Second)
		if slices.Contains(b.etcd.leases("renew"), l.id) {
			t.Error("the lease was renewed, though an old leader renewed what is to outlive it")
		}
	})
}

func TestWhatOutlivesALeaseIsRevokedIfNothingIsLeftOnIt(t *testing.T) {
	bubble(t, func(b *bench) {
		l, o := outliving(b)
		o.Enter()
		o.Leave()
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if want := []clientv3.LeaseID{l.id, o.id}; !slices.Equal(b.etcd.leases("revoke"), want) {
			t.Errorf("revoked: %x, want %x", b.etcd.leases("revoke"), want)
		}
	})
}

// TestWhatOutlivesALeaseIsForgottenWhenEtcdDoesNotKnowIt: an operator has ended it. Who needs one gets another.
func TestWhatOutlivesALeaseIsForgottenWhenEtcdDoesNotKnowIt(t *testing.T) {
	bubble(t, func(b *bench) {
		l, o := outliving(b)
		b.etcd.on("renew", notFound)
		if err := o.Check(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.etcd.on("renew", nil)
		other, err := l.Outliving(context.Background(), time.Minute)
		if err != nil || other == o {
			t.Errorf("the same as before (%v), want another", err)
		}
		if err := l.Err(); err != nil {
			t.Errorf("the lease itself: %v", err)
		}
	})
}
