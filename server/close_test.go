package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestCloseTwiceAndAtOnceIsOneClose(t *testing.T) {
	s := start(t, quick())
	addr := strings.TrimPrefix(s.Endpoints()[0], "http://")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
			if s.Client().Ctx().Err() == nil {
				t.Error("Close returned before the client was closed")
			}
		})
	}
	wg.Wait()
	assertFree(t, addr)
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Close")
	}
	if err := s.Err(); err != nil {
		t.Errorf("Err() = %v after a Close that was asked for", err)
	}
}

func TestCloseOfAServerThatNeverStarted(t *testing.T) {
	s, err := New(quick())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestCloseAfterAStartThatFailed(t *testing.T) {
	cfg := quick()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Start(ctx); err == nil {
		t.Error("Start succeeded")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCloseWithAnEndedContextStillCloses(t *testing.T) {
	s := start(t, quick())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := os.Stat(s.DataDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
}

// blockOnLog stops etcd at a certain message.
type blockOnLog struct {
	slog.Handler
	message string
	until   <-chan struct{}
}

func (h blockOnLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		<-h.until
	}
	return nil
}

func TestCloseWaitsNoLongerThanItsContext(t *testing.T) {
	until := make(chan struct{})
	cfg := quick()
	cfg.Logger = slog.New(blockOnLog{slog.Default().Handler(), "closing etcd server", until})
	s := start(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close of a server that hangs: %v, want %v", err, context.DeadlineExceeded)
	}
	close(until)
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("the next Close: %v", err)
	}
	if _, err := os.Stat(s.DataDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
}

// etcd's own Close takes 7 s here.
func TestCloseDoesNotWaitForClientsThatStay(t *testing.T) {
	s := start(t, quick())
	c := dial(t, clientv3.Config{Endpoints: s.Endpoints()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	<-watch
	lease, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	alive, err := c.KeepAlive(ctx, lease.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-alive
	began := time.Now()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("Close took %v", took)
	if took > drainTimeout/2 {
		t.Errorf("Close took %v", took)
	}
	select {
	case resp := <-watch:
		t.Errorf("the watch ended (%v): a client should try again, as with any server that went away", resp.Err())
	default:
	}
}

func TestAWatchGoesOnAfterARestart(t *testing.T) {
	cfg := Config{DataDir: t.TempDir(), ClientURLs: []string{"http://" + freePort(t)}, NoFsync: true}
	s := start(t, cfg)
	c := dial(t, clientv3.Config{Endpoints: s.Endpoints()})
	watch := c.Watch(t.Context(), "k", clientv3.WithCreatedNotify())
	<-watch
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, start(t, cfg).Client(), "k", "v")
	select {
	case resp := <-watch:
		if len(resp.Events) != 1 || string(resp.Events[0].Kv.Value) != "v" {
			t.Errorf("got %+v (%v), want the put", resp.Events, resp.Err())
		}
	case <-time.After(10 * time.Second):
		t.Error("no event")
	}
}

func TestDoneTellsThatEtcdStoppedByItself(t *testing.T) {
	s := start(t, quick())
	if s.Err() != nil {
		t.Errorf("Err() = %v while running", s.Err())
	}
	s.running().etcd.Server.Stop()
	select {
	case <-s.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("Done is still open")
	}
	if s.Err() == nil {
		t.Error("Err() = nil")
	}
}

func TestDoneTellsThatAListenerDied(t *testing.T) {
	s := start(t, quick())
	s.running().clients[0].Close()
	select {
	case <-s.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("Done is still open")
	}
	if s.Err() == nil {
		t.Error("Err() = nil")
	}
}
