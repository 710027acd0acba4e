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
		want string
		args []string
	}{
		{"address already in use", []string{"--temporary", "--listen", endpoint}},
		{"in use by another server", []string{"--data-dir", dir, "--listen", anyPort}},
		{"others than this machine reach this address", []string{"--temporary", "--listen", "http://0.0.0.0:0"}},
	} {
		r := stile(t, nil, append([]string{"serve"}, c.args...)...)
		if r.code != exitError || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("serve %q: %v, want exit 1 and one line with %q", c.args, r, c.want)
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
