package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestTheClientEndsWithTheServer(t *testing.T) {
	s := start(t, quick())
	watch := s.Client().Watch(t.Context(), "k", clientv3.WithCreatedNotify())
	<-watch
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range watch { // it is closed, after an error perhaps
	}
	if _, err := s.Client().Put(t.Context(), "k", "v"); !errors.Is(err, rpctypes.ErrStopped) {
		t.Errorf("Put after Close: %v, want %v", err, rpctypes.ErrStopped)
	}
}

func TestTheClientIsThereBeforeTheStart(t *testing.T) {
	s, err := New(quick())
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	kv := namespace.NewKV(c.KV, "app/") // what an fx constructor does
	if _, err := c.Get(t.Context(), "k"); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("Get before Start: %v, want FailedPrecondition", err)
	}
	if resp := <-c.Watch(t.Context(), "k"); status.Code(resp.Err()) != codes.FailedPrecondition {
		t.Errorf("Watch before Start: %v, want FailedPrecondition", resp.Err())
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	if s.Client() != c {
		t.Error("another client after Start")
	}
	watch := c.Watch(t.Context(), "app/k", clientv3.WithCreatedNotify())
	<-watch
	if _, err := kv.Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	if resp := <-watch; len(resp.Events) != 1 || string(resp.Events[0].Kv.Value) != "v" {
		t.Errorf("got %+v (%v), want the put", resp.Events, resp.Err())
	}
}

func TestTheClientServesManyWatchersAndLeases(t *testing.T) {
	s := start(t, quick())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			watch := s.Client().Watch(ctx, "k", clientv3.WithCreatedNotify())
			<-watch
			for range watch {
			}
		})
	}
	lease, err := s.Client().Grant(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().KeepAliveOnce(ctx, lease.ID); err != nil {
		t.Errorf("KeepAliveOnce: %v", err)
	}
	put(t, s.Client(), "k", "v")
	cancel()
	wg.Wait()
	if got := get(t, s.Client(), "k"); got != "v" {
		t.Errorf("after all watchers ended: got %q, want v", got)
	}
}

func TestTheClientHonoursItsContext(t *testing.T) {
	s := start(t, quick())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Client().Put(ctx, "k", "v"); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with an ended context: %v, want %v", err, context.Canceled)
	}
	_, err := s.Client().KeepAliveOnce(t.Context(), 12345)
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("KeepAliveOnce of no lease: %v, want %v", err, rpctypes.ErrLeaseNotFound)
	}
}

// A handler's ctx carries its own caller's token: the in-process client must not act in that name.
func TestTheClientDoesNotBorrowTheCallersIdentity(t *testing.T) {
	c := newLocalConn()
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("token", "theirs"))
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs("token", "mine"))
	ctx, cancel := c.callContext(ctx)
	defer cancel()
	if md, _ := metadata.FromIncomingContext(ctx); md.Get("token")[0] != "mine" {
		t.Errorf("the server sees the token %q, want mine", md.Get("token"))
	}
}

func TestSnapshotsStreamToTheirEnd(t *testing.T) {
	s := start(t, quick())
	resp, err := s.Client().SnapshotWithVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Snapshot.Close()
	n, err := io.Copy(io.Discard, resp.Snapshot)
	if err != nil || n == 0 {
		t.Errorf("read %d bytes: %v", n, err)
	}
}

// TestTheClientDefragments, and with etcd's authentication on it is refused as anybody without a token: it is not root.
func TestTheClientDefragments(t *testing.T) {
	s := start(t, quick())
	c := s.Client()
	if _, err := c.Defragment(t.Context(), ""); err != nil {
		t.Errorf("Defragment: %v", err)
	}
	put(t, c, "k", "v")
	_, err := c.UserAdd(t.Context(), "root", "secret")
	if err == nil {
		_, err = c.UserGrantRole(t.Context(), "root", "root")
	}
	if err == nil {
		_, err = c.AuthEnable(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Defragment(t.Context(), ""); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("Defragment without a token: %v, want %v", err, rpctypes.ErrPermissionDenied)
	}
}
