package main

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// peerURL is an address where nobody listens.
func peerURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// TestServeThree is what docs/cluster.md says for one machine: the cluster serves without one of three, whoever that is,
// and it comes back with what it has missed.
func TestServeThree(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c"}
	var cluster []string
	for _, name := range names {
		cluster = append(cluster, name+"="+peerURL(t))
	}
	run := make([]*process, len(names))
	dir := t.TempDir()
	begin := func(i int) {
		run[i] = start(t, nil, "serve", "--data-dir", dir+"/"+names[i], "--listen", anyPort,
			"--name", names[i], "--cluster", strings.Join(cluster, ","), "--election-timeout", "200ms")
	}
	endpoint := func(i int) string {
		return strings.TrimSuffix(strings.Fields(run[i].line(t, "serving etcd at"))[3], ",")
	}
	for i := range names {
		begin(i)
	}
	var endpoints []string
	for i := range names {
		endpoints = append(endpoints, endpoint(i))
	}
	for i := range names {
		run[i].signal(t, syscall.SIGKILL)
		run[i].code(t)
		client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the others serve", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := client.Put(ctx, names[i], "killed")
			return err == nil
		})
		client.Close()
		begin(i)
		endpoints[i] = endpoint(i)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints[2:], Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, name := range names {
		resp, err := client.Get(t.Context(), name)
		if err != nil || len(resp.Kvs) != 1 {
			t.Errorf("what was written while %s was dead: %v, %v", name, resp, err)
		}
	}
	for i := range names {
		run[i].signal(t, syscall.SIGTERM)
		if code := run[i].code(t); code != 0 {
			t.Errorf("%s: exit %d, want 0: %s", names[i], code, run[i].stderr)
		}
	}
}

func TestServeSaysWhomItWaitsFor(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "serve", "--data-dir", t.TempDir(), "--listen", anyPort, "--name", "a", "--cluster", "a="+peerURL(t)+",b="+peerURL(t))
	until(t, "it says so", func() bool { return strings.Contains(p.stderr.String(), "waiting until most of the 2 members run") })
	p.signal(t, syscall.SIGTERM)
	if code := p.code(t); code != exitInterrupted {
		t.Errorf("exit %d, want %d: %s", code, exitInterrupted, p.stderr)
	}
}
