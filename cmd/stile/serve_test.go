package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const anyPort = "http://127.0.0.1:0"

func TestServeSaysWhenItServesAndEndsOnASignal(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		dir := t.TempDir()
		p := start(t, nil, "serve", "--data-dir", dir, "--listen", anyPort)
		line := p.line(t, "serving etcd at http://127.0.0.1:", ", data in "+dir)
		endpoint := strings.TrimSuffix(strings.Fields(line)[3], ",")
		put(t, endpoint)
		p.signal(t, sig)
		if code := p.code(t); code != 0 {
			t.Errorf("%v: exit %d, want 0: %s", sig, code, p.stderr)
		}
		if got, want := p.stdout.String(), line+"\nstopped\n"; got != want || p.stderr.String() != "" {
			t.Errorf("%v: said %q and %q, want %q and nothing", sig, got, p.stderr, want)
		}
	}
}

func put(t *testing.T, endpoint string) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
}

func TestServePrintsJSONForPrograms(t *testing.T) {
	p := start(t, nil, "serve", "--temporary", "--listen", anyPort, "--http", anyPort, "--json")
	var ready struct {
		Event     string
		Endpoints []string
		HTTP      string
		DataDir   string `json:"data_dir"`
	}
	if err := json.Unmarshal([]byte(p.line(t, "ready")), &ready); err != nil {
		t.Fatal(err)
	}
	if ready.Event != "ready" || len(ready.Endpoints) != 1 || ready.HTTP == "" || ready.DataDir == "" {
		t.Errorf("ready: %+v", ready)
	}
	p.signal(t, syscall.SIGTERM)
	p.line(t, `{"event":"stopped"}`)
	if code := p.code(t); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	if _, err := os.Stat(ready.DataDir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory %s is left: %v", ready.DataDir, err)
	}
}

func TestServeSaysWhatIsInItsWay(t *testing.T) {
	dir := t.TempDir()
	p := start(t, nil, "serve", "--data-dir", dir, "--listen", anyPort)
	endpoint := strings.TrimSuffix(strings.Fields(p.line(t, "serving"))[3], ",")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitError, "address already in use", []string{"--temporary", "--listen", endpoint}},
		{exitError, "in use by another server", []string{"--data-dir", dir, "--listen", anyPort}},
		{exitUsage, "others than this machine reach this address", []string{"--temporary", "--listen", "http://0.0.0.0:0"}},
		{exitUsage, "give --allow-insecure", []string{"--temporary", "--listen", "http://0.0.0.0:0"}},
		{exitUsage, "--http-gateway needs --http", []string{"--temporary", "--http-gateway"}},
		{exitUsage, "--listen \"foo\": want http://host:port", []string{"--temporary", "--listen", "foo", "--history", "1ms"}},
		{exitUsage, "--cert-file and --key-file go together", []string{"--temporary", "--cert-file", "x"}},
		{exitUsage, "--client-ca-file needs --cert-file and --key-file", []string{"--temporary", "--client-ca-file", "x"}},
		{exitUsage, "--cluster needs --data-dir", []string{"--temporary", "--cluster", "a=" + endpoint, "--name", "a"}},
		{exitUsage, "--name needs --cluster", []string{"--temporary", "--name", "a"}},
		{exitUsage, "no member \"b\" in --cluster: --name says", []string{"--data-dir", dir, "--cluster", "a=" + endpoint, "--name", "b"}},
		{exitUsage, "give --allow-insecure", []string{"--data-dir", dir, "--cluster", "a=http://192.0.2.1:2380", "--name", "a"}},
		{exitUsage, "--peer-cert-file, --peer-key-file and --peer-ca-file go together", []string{"--data-dir", dir, "--cluster", "a=" + endpoint, "--name", "a", "--peer-ca-file", "x"}},
	} {
		r := stile(t, nil, append([]string{"serve"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("serve %q: %v, want exit %d and one line with %q", c.args, r, c.code, c.want)
		}
	}
}

// A logger, even one that discards, would have the server's last words, which standard error gets without one.
func TestServeLeavesLastWordsToStandardError(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		o := serveOptions{verbose: verbose}
		o.setLogger()
		if got := o.server.Logger != nil; got != verbose {
			t.Errorf("--verbose=%v: a logger: %v", verbose, got)
		}
	}
}

func TestServeSweepsWhatCrashesLeft(t *testing.T) {
	p := start(t, nil, "serve", "--temporary", "--listen", anyPort, "--sweep-every", "50ms")
	endpoint := strings.TrimSuffix(strings.Fields(p.line(t, "serving"))[3], ",")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// The tail of a line whose only entry went with its lease.
	const tail = "/stile/v1/lock/crashed/tail"
	if _, err := client.Put(t.Context(), tail, "3f0f8a52-6d6c-4a53-8b6e-1d1a5f0f2f11"); err != nil {
		t.Fatal(err)
	}
	until(t, "the tail is swept", func() bool {
		resp, err := client.Get(t.Context(), tail)
		return err == nil && len(resp.Kvs) == 0
	})
	p.signal(t, syscall.SIGTERM)
	p.code(t)
}
