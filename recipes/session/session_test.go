package session_test

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

func TestMain(m *testing.M) { recipestest.Main(m) }

// eventually looks again and again until something is so, and fails if it doesn't come about.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("it never came about: %s", what)
		}
	}
}

func TestBadOptionsAreRefusedBeforeAnyRequest(t *testing.T) {
	c := recipestest.Client(t)
	requests := recipestest.Count(c)
	for what, opt := range map[string]session.Option{
		"negative TTL":   session.TTL(-time.Second),
		"zero TTL":       session.TTL(0),
		"short TTL":      session.TTL(3 * time.Second),
		"fraction":       session.TTL(4500 * time.Millisecond),
		"huge TTL":       session.TTL(1 << 62),
		"zero margin":    session.Margin(0),
		"no clean-up":    session.CleanupTimeout(-1),
		"no UTF-8":       session.Labels(map[string]string{"rack": "\xff"}),
		"no UTF-8 name":  session.Labels(map[string]string{"\xff": "a"}),
		"root":           session.Root("x"),
		"root with NUL":  session.Root("/a\x00"),
		"root with tail": session.Root("/a/"),
	} {
		if s, err := session.Open(t.Context(), c, opt); err == nil || s != nil || !strings.HasPrefix(err.Error(), "session: ") {
			t.Errorf("%s: Open = %v, %v, want an error that says so", what, s, err)
		}
	}
	if _, err := session.Open(t.Context(), nil); err == nil {
		t.Error("a nil client was accepted")
	}
	if _, err := session.Open(t.Context(), &clientv3.Client{}); err == nil {
		t.Error("a client that is not connected to anything was accepted")
	}
	var none *session.Session
	if err := errors.Join(none.Close(t.Context()), none.Start(t.Context())); err == nil || none.Granted() != 0 {
		t.Error("a nil session was accepted")
	}
	if n := requests.Total(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestOpenAndClose(t *testing.T) {
	c := recipestest.Client(t)
	requests := recipestest.Count(c)
	s, err := session.Open(t.Context(), c, session.TTL(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if s.Granted() != 20*time.Second {
		t.Errorf("granted %v, want 20 s", s.Granted())
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if requests.Grants.Load() != 1 || requests.Revokes.Load() != 1 || requests.Total() != 2 {
		t.Errorf("%d requests, want a grant and a revoke", requests.Total())
	}
	if err := s.Start(t.Context()); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Start after Close = %v, want ErrClosed", err)
	}
}

func TestNewSendsNothing(t *testing.T) {
	c := recipestest.Client(t)
	requests := recipestest.Count(c)
	s, err := session.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil || requests.Total() != 0 {
		t.Errorf("Close = %v with %d requests, want none", err, requests.Total())
	}
}

func TestOpenFailsWithItsContext(t *testing.T) {
	srv := recipestest.NewServer(t)
	c := srv.Client()
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := session.Open(ctx, c, session.CleanupTimeout(100*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v, want its ctx's error", err)
	}
	if took := time.Since(start); took > 10*350*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

// TestTheContextOfOpenBoundsTheOpeningOnly: it is not the session's lifetime.
func TestTheContextOfOpenBoundsTheOpeningOnly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := session.Open(ctx, recipestest.Client(t))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	held, err := lock.Acquire(t.Context(), s, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(held.Err(), held.Release(t.Context()), s.Close(t.Context())); err != nil {
		t.Errorf("the session ended with the ctx of Open: %v", err)
	}
}

// TestALeaseOfALostGrantEndsByItself: etcd's client asks again by itself, and whoever asks twice is granted two. Nobody knows the first, so
// nobody renews it.
func TestALeaseOfALostGrantEndsByItself(t *testing.T) {
	t.Parallel()
	srv := recipestest.NewServer(t)
	faults := recipestest.NewFaults(t)
	lost := faults.DropAnswer(1, recipestest.Reset)
	s, err := session.Open(t.Context(), srv.Client(faults), session.TTL(time.Second), session.Margin(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	<-lost.Answered()
	c := srv.Client()
	leases := func() int {
		resp, err := c.Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(resp.Leases)
	}
	if n := leases(); n != 2 {
		t.Fatalf("%d leases, want two: the test tests nothing", n)
	}
	eventually(t, "the one that nobody knows has ended", func() bool { return leases() < 2 })
	if s.Granted() != time.Second || leases() != 1 {
		t.Errorf("granted %v, %d leases, want the session's own", s.Granted(), leases())
	}
}
