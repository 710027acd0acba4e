package lock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

const (
	keptAfter = "/stile/v1/lock/x/d/delay"
	keptMin   = "/stile/v1/lock/x/d/min"
)

// keeping is what stands there so that the lock is kept.
func keeping(t *testing.T, c *clientv3.Client) (keys []string) {
	t.Helper()
	for _, key := range keysOf(t, c) {
		if strings.Contains(key, "/d/") {
			keys = append(keys, key)
		}
	}
	return keys
}

// heir acquires what get says in the background. When it has it nothing may keep it any more.
func heir(ctx context.Context, t *testing.T, c *clientv3.Client, get func(ctx context.Context) (*lock.Held, error)) <-chan *lock.Held {
	t.Helper()
	got := make(chan *lock.Held, 1)
	go func() {
		held, err := get(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, session.ErrLost) {
			t.Error(err)
		}
		resp, readErr := c.Get(context.Background(), "/stile/v1/lock/x/d/", clientv3.WithPrefix())
		if readErr != nil || held != nil && len(resp.Kvs) > 0 {
			t.Errorf("it has the lock while that is kept: %v %v", resp, readErr)
		}
		got <- held
	}()
	return got
}

// inheritance is a lock whose holder had a Delay, and those who come after it.
type inheritance struct {
	*testing.T
	client *clientv3.Client
	held   *lock.Held
	last   *session.Session // who gets it in the end

	other    *clientv3.Client // for one whose requests are counted
	requests *recipestest.Requests
}

// front waits until the one on the other client, who stands right behind the holder, has seen that the lock is kept, and waits for the end of that.
func (i *inheritance) front() {
	i.Helper()
	eventually(i.T, "it joins, looks at the holder, asks history, looks whether the lock is kept, and again once that is watched", func() bool {
		return i.requests.Watches.Load() == 3 && i.requests.Txns.Load() == 4
	})
}

func (i *inheritance) one(ctx context.Context, s *session.Session) <-chan *lock.Held {
	return heir(ctx, i.T, i.client, func(ctx context.Context) (*lock.Held, error) { return lock.Acquire(ctx, s, "x") })
}

// crash ends the holder's lease.
func (i *inheritance) crash() {
	i.Helper()
	recipestest.RevokeLeaseOf(i, i.client, i.held.Claims()[0].Key)
}

// kept waits until it is seen that nobody holds the lock, that it is kept, and that n wait.
func (i *inheritance) kept(n int) {
	i.Helper()
	eventually(i.T, "nobody holds it, it is kept, and others wait", func() bool {
		st, err := lock.Inspect(i.Context(), i.client, "x")
		return err == nil && st.Holder == nil && st.Kept != nil && st.Kept.ID == id(i.held) && len(st.Waiters) == n
	})
}

func id(held *lock.Held) string {
	key := held.Claims()[0].Key
	return key[strings.LastIndex(key, "/")+1:]
}

// TestADelayOutlivesACrash: whatever happens meanwhile, nobody gets the lock while it is kept.
func TestADelayOutlivesACrash(t *testing.T) {
	each(t, map[string]func(i *inheritance) <-chan *lock.Held{
		"one waits": func(i *inheritance) <-chan *lock.Held {
			got := i.one(i.Context(), i.last)
			waiters(i.T, i.client, "x", 1)
			i.crash()
			i.kept(1)
			return got
		},
		"none waits, and the tail is swept": func(i *inheritance) <-chan *lock.Held {
			i.crash()
			i.kept(0) // Inspect has swept it
			if _, err := lock.TryAcquire(i.Context(), i.last, "x"); !isKept(err, i.held) {
				i.Errorf("TryAcquire = %v, want that it is kept", err)
			}
			got := i.one(i.Context(), i.last)
			i.kept(1)
			return got
		},
		"none waits, and the tail is there": func(i *inheritance) <-chan *lock.Held {
			i.crash()
			if _, err := lock.TryAcquire(i.Context(), i.last, "x"); !isKept(err, i.held) {
				i.Errorf("TryAcquire = %v, want that it is kept", err)
			}
			return i.one(i.Context(), i.last)
		},
		"the successor gives up": func(i *inheritance) <-chan *lock.Held {
			ctx, cancel := context.WithCancel(i.Context())
			next := i.one(ctx, open(i.T, i.other))
			waiters(i.T, i.client, "x", 1)
			got := i.one(i.Context(), i.last)
			waiters(i.T, i.client, "x", 2)
			i.crash()
			i.kept(2)
			i.front()
			cancel()
			if held := <-next; held != nil {
				i.Error("it gave up, and has the lock")
			}
			i.kept(1)
			return got
		},
		"the successor gives up, and then one comes": func(i *inheritance) <-chan *lock.Held {
			ctx, cancel := context.WithCancel(i.Context())
			next := i.one(ctx, open(i.T, i.other))
			waiters(i.T, i.client, "x", 1)
			i.crash()
			i.kept(1)
			i.front()
			cancel()
			<-next
			i.kept(0)
			return i.one(i.Context(), i.last)
		},
		"the successor crashes first": func(i *inheritance) <-chan *lock.Held { return i.crashes(i.successor, i.crash) },
		"the holder crashes first": func(i *inheritance) <-chan *lock.Held {
			return i.crashes(i.crash, func() { i.kept(2); i.successor() })
		},
		"the session is closed": func(i *inheritance) <-chan *lock.Held {
			got := i.one(i.Context(), i.last)
			waiters(i.T, i.client, "x", 1)
			i.crash()
			<-i.held.Context().Done()
			return got
		},
		"several are wanted": func(i *inheritance) <-chan *lock.Held {
			got := heir(i.Context(), i.T, i.client, func(ctx context.Context) (*lock.Held, error) {
				return lock.AcquireAll(ctx, i.last, "w", "x", "y")
			})
			waiters(i.T, i.client, "x", 1)
			i.crash()
			i.kept(1)
			return got
		},
		"several are wanted later": func(i *inheritance) <-chan *lock.Held {
			i.crash()
			got := heir(i.Context(), i.T, i.client, func(ctx context.Context) (*lock.Held, error) {
				return lock.AcquireAll(ctx, i.last, "w", "x", "y")
			})
			i.kept(1)
			return got
		},
	}, func(t *testing.T, play func(i *inheritance) <-chan *lock.Held) {
		t.Helper()
		c, other := pair(t)
		s := open(t, c, session.TTL(30*time.Second))
		held, err := lock.Acquire(t.Context(), s, "x", lock.Delay(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		i := &inheritance{t, c, held, open(t, c), other, recipestest.Count(other)}
		got := play(i)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if keys := keeping(t, c); len(keys) != 1 || keys[0] != keptAfter {
			t.Fatalf("%q stand there, want that it is kept after the session is closed", keys)
		}
		recipestest.RevokeLeaseOf(t, c, keptAfter) // as when it is over
		release(t, receive(t, got))
		if st, err := lock.Inspect(t.Context(), c, "x"); err != nil || st.Kept != nil || st.Holder != nil {
			t.Errorf("%+v, %v, want a free lock", st, err)
		}
	})
}

func isKept(err error, after *lock.Held) bool {
	held, ok := errors.AsType[*lock.HeldError](err)
	return ok && held.Kept && held.Holder.ID == id(after) && strings.Contains(err.Error(), "kept after process ")
}

// crashes has two stand in line, and then what is to happen to the holder and the first of them.
func (i *inheritance) crashes(first, then func()) <-chan *lock.Held {
	next := open(i.T, i.client, session.NoRejoin())
	i.one(i.Context(), next)
	waiters(i.T, i.client, "x", 1)
	got := i.one(i.Context(), i.last)
	waiters(i.T, i.client, "x", 2)
	first()
	then()
	i.kept(1)
	return got
}

// successor crashes.
func (i *inheritance) successor() {
	i.Helper()
	st, err := lock.Inspect(i.Context(), i.client, "x")
	if err != nil || len(st.Waiters) != 2 {
		i.Fatalf("%+v, %v, want two that wait", st, err)
	}
	recipestest.RevokeLeaseOf(i, i.client, "/stile/v1/lock/x/e/"+st.Waiters[0].ID)
}

// TestADelayEndsByItself: etcd's lease does, with nobody there to end it.
func TestADelayEndsByItself(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c, session.TTL(4*time.Second))
	held, err := lock.Acquire(t.Context(), s, "x", lock.Delay(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	got := heir(t.Context(), t, c, func(ctx context.Context) (*lock.Held, error) { return lock.Acquire(ctx, open(t, c), "x") })
	waiters(t, c, "x", 1)
	recipestest.RevokeLeaseOf(t, c, held.Claims()[0].Key)
	release(t, receive(t, got))
}

// TestWhoReleasesInOrderLeavesNoDelay: the next one has the lock at once, and neither key nor lease is left.
func TestWhoReleasesInOrderLeavesNoDelay(t *testing.T) {
	each(t, map[string]func(ctx context.Context, s *session.Session, held *lock.Held) error{
		"Release": func(ctx context.Context, _ *session.Session, held *lock.Held) error { return held.Release(ctx) },
		"Close":   func(ctx context.Context, s *session.Session, _ *lock.Held) error { return s.Close(ctx) },
	}, func(t *testing.T, give func(ctx context.Context, s *session.Session, held *lock.Held) error) {
		t.Helper()
		for _, waits := range []bool{false, true} {
			c := recipestest.Client(t)
			s, r := open(t, c, session.TTL(300*time.Second)), recipestest.Count(c)
			for range 2 {
				held, err := lock.Acquire(t.Context(), s, "y", lock.Delay(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				release(t, held)
			}
			if r.Txns.Load() != 6 || r.Grants.Load() != 1 || r.Total() != 7 {
				t.Errorf("%d Txns, %d Grants, %d in all, want 6, 1, 7", r.Txns.Load(), r.Grants.Load(), r.Total())
			}
			held, err := lock.Acquire(t.Context(), s, "x", lock.Delay(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			var got <-chan *lock.Held
			if waits {
				got = acquires(t, open(t, c))
				waiters(t, c, "x", 1)
			}
			if err := give(t.Context(), s, held); err != nil {
				t.Error(err)
			}
			if waits {
				release(t, receive(t, got))
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if keys := keysOf(t, c); len(keys) > 0 {
				t.Errorf("%q are left", keys)
			}
			if r.Revokes.Load() != 2 {
				t.Errorf("%d leases were revoked, want the session's and that of the delay", r.Revokes.Load())
			}
		}
	})
}

// TestALockThatIsTakenIsKept: the session ends the delay itself, for its lease goes on.
func TestALockThatIsTakenIsKept(t *testing.T) {
	each(t, map[string]func(t *testing.T, c *clientv3.Client, held *lock.Held) error{
		"Force": func(t *testing.T, c *clientv3.Client, _ *lock.Held) error {
			t.Helper()
			return lock.Force(t.Context(), c, "x", "it hangs")
		},
		"deleted": func(t *testing.T, c *clientv3.Client, held *lock.Held) error {
			t.Helper()
			recipestest.Delete(t, c, held.Claims()[0].Key)
			return nil
		},
	}, func(t *testing.T, take func(t *testing.T, c *clientv3.Client, held *lock.Held) error) {
		t.Helper()
		for _, closed := range []bool{false, true} {
			c := recipestest.Client(t)
			s := open(t, c, session.TTL(60*time.Second))
			delay := time.Second
			if closed {
				delay = time.Hour
			}
			held, err := lock.Acquire(t.Context(), s, "x", lock.Delay(delay))
			if err != nil {
				t.Fatal(err)
			}
			last := open(t, c)
			got := heir(t.Context(), t, c, func(ctx context.Context) (*lock.Held, error) { return lock.Acquire(ctx, last, "x") })
			waiters(t, c, "x", 1)
			if err := take(t, c, held); err != nil {
				t.Fatal(err)
			}
			<-held.Context().Done()
			_ = held.Release(t.Context())
			(&inheritance{T: t, client: c, held: held}).kept(1)
			if closed { // then etcd ends it
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
				recipestest.RevokeLeaseOf(t, c, keptAfter)
			}
			release(t, receive(t, got))
		}
	})
}
