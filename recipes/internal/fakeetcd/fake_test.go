package fakeetcd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bench is a fake in a bubble, with a client.
type bench struct {
	*testing.T
	*Server
	conn   *Conn
	client *clientv3.Client
	start  time.Time
}

func bubble(t *testing.T, net Network, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		c := s.Connect("it", net)
		b := &bench{t, s, c, c.Client(), time.Now()}
		test(b)
		_ = b.client.Close() // says that its ctx has ended
		s.Close()
	})
}

// lease grants a lease with a key on it.
func (b *bench) lease(ttl int64, key string) clientv3.LeaseID {
	b.Helper()
	resp, err := b.client.Grant(b.Context(), ttl)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.client.Put(b.Context(), key, "", clientv3.WithLease(resp.ID)); err != nil {
		b.Fatal(err)
	}
	return resp.ID
}

// endsAt waits for the end of the key and compares when that was.
func (b *bench) endsAt(key string, want time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	for resp := range b.client.Watch(ctx, key) {
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete {
				if at := time.Since(b.start); at != want {
					b.Errorf("%s ended at %v, want %v", key, at, want)
				}
				return
			}
		}
	}
	b.Errorf("%s has not ended", key)
}

func TestALeaseEndsAtTheNextLook(t *testing.T) {
	bubble(t, Direct{}, func(b *bench) {
		time.Sleep(200 * time.Millisecond)
		b.lease(5, "a")
		b.endsAt("a", 5500*time.Millisecond)
	})
}

func TestARenewalOfWhatHasRunOutWaitsForItsEnd(t *testing.T) {
	bubble(t, Direct{}, func(b *bench) {
		time.Sleep(200 * time.Millisecond)
		id := b.lease(5, "a")
		time.Sleep(5100 * time.Millisecond)
		_, err := b.client.KeepAliveOnce(b.Context(), id)
		if at := time.Since(b.start); !errors.Is(err, rpctypes.ErrLeaseNotFound) || at != 5500*time.Millisecond {
			b.Errorf("%v at %v, want that it is gone, at 5.5 s", err, at)
		}
	})
}

func TestANewLeaderGivesTheWholeTTLAndAnElection(t *testing.T) {
	bubble(t, Direct{}, func(b *bench) {
		b.lease(5, "a")
		time.Sleep(3200 * time.Millisecond)
		b.Elect()
		b.endsAt("a", 9500*time.Millisecond) // 3.2 + 5 + 1, and the next look
	})
}

// TestAnOldLeaderRenewsInVain: it answers for a while, and the new one knows nothing of it.
func TestAnOldLeaderRenewsInVain(t *testing.T) {
	bubble(t, Direct{}, func(b *bench) {
		id := b.lease(5, "a")
		b.Transfer(true, b.conn)
		time.Sleep(1900 * time.Millisecond)
		if resp, err := b.client.KeepAliveOnce(b.Context(), id); err != nil || resp.TTL != 5 || resp.RaftTerm != 2 {
			b.Errorf("the old leader answers %v, %v, want 5 s, in its term", resp, err)
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if _, err := b.client.Put(ctx, "b", ""); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("a put through the old leader: %v, want no answer", err)
		}
		b.Rejoin(b.conn)
		b.endsAt("a", 6*time.Second)
	})
}

func TestWithoutALeader(t *testing.T) {
	bubble(t, Direct{}, func(b *bench) {
		b.lease(5, "a")
		ctx := clientv3.WithRequireLeader(b.Context())
		w := b.client.Watch(ctx, "a", clientv3.WithCreatedNotify())
		<-w
		b.LoseLeader()
		if resp := <-w; !errors.Is(resp.Err(), rpctypes.ErrNoLeader) {
			b.Errorf("the watch got %v, want ErrNoLeader", resp.Err())
		}
		if _, err := b.client.Get(ctx, "a"); !errors.Is(err, rpctypes.ErrNoLeader) {
			b.Errorf("a read that wants a leader: %v, want ErrNoLeader", err)
		}
		short, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if _, err := b.client.Get(short, "a"); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("a read that does not ask for one: %v, want no answer", err)
		}
		time.Sleep(9 * time.Second)
		b.Elect()
		b.endsAt("a", 16*time.Second) // 10 s without a leader, then its TTL and an election
	})
}

// slowAnswers takes a second for what goes to the client.
type slowAnswers struct{ Direct }

func (slowAnswers) Down(_ Message, arrive func()) { time.AfterFunc(time.Second, arrive) }

func TestABrokenConnection(t *testing.T) {
	bubble(t, slowAnswers{}, func(b *bench) {
		w := b.client.Watch(b.Context(), "a", clientv3.WithCreatedNotify())
		<-w
		time.AfterFunc(500*time.Millisecond, b.conn.Break)
		if _, err := b.client.Put(b.Context(), "a", "1"); status.Code(err) != codes.Unavailable {
			b.Errorf("%v, want that the connection is gone", err)
		}
		if rev := b.Rev(); rev != 2 {
			b.Errorf("etcd is at %d, want 2: it was applied", rev)
		}
		if resp := <-w; len(resp.Events) != 1 || string(resp.Events[0].Kv.Value) != "1" {
			b.Errorf("the watch goes on with %v, want what it missed", resp)
		}
	})
}

// lostAnswers loses what goes to the client.
type lostAnswers struct{ Direct }

func (lostAnswers) Down(Message, func()) {}

func TestARequestGivenUpIsApplied(t *testing.T) {
	bubble(t, lostAnswers{}, func(b *bench) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if _, err := b.client.Put(ctx, "a", "1"); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("%v, want no answer", err)
		}
		if rev := b.Rev(); rev != 2 {
			b.Errorf("etcd is at %d, want 2", rev)
		}
	})
}
