package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-dev/stile/server"
)

// beStile makes this test binary the command itself, so that the tests run real processes of it.
const beStile = "STILE_TEST_BE_STILE"

// limit is how long a test waits for what must happen.
const limit = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(beStile) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// process is a running stile.
type process struct {
	*exec.Cmd
	stdin          io.WriteCloser
	out            io.Closer   // the reading end of standard output
	lines          chan string // of standard output; closed at its end
	stdout, stderr *recorder
	done           chan struct{}
}

// start runs stile with args. It is killed at the end of the test, if it hasn't ended.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), lines: make(chan string, 1000), stdout: new(recorder), stderr: new(recorder), done: make(chan struct{})}
	p.Env = append(append(os.Environ(), beStile+"=1", "GORACE=atexit_sleep_ms=0"), env...)
	p.Stderr = p.stderr
	p.WaitDelay = time.Second // for what it has started, and what has its standard error open still
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = out
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for s := bufio.NewScanner(io.TeeReader(out, p.stdout)); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
		_ = p.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		out.Close() // what it has started may have it open still
		<-p.done
	})
	return p
}

// line waits for a line of standard output that has all parts in it.
func (p *process) line(t *testing.T, parts ...string) string {
	t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("ended without a line with %q; it said\n%s%s", parts, p.stdout, p.stderr)
			}
			if hasAll(line, parts) {
				return line
			}
		case <-timeout:
			t.Fatalf("no line with %q within %v; it said\n%s%s", parts, limit, p.stdout, p.stderr)
		}
	}
}

func hasAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// code waits for the end.
func (p *process) code(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("still runs after %v; it said\n%s%s", limit, p.stdout, p.stderr)
		return -1
	}
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// result is what a stile that has ended left.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
}

// stile runs it to its end.
func stile(t *testing.T, env []string, args ...string) result {
	t.Helper()
	p := start(t, env, args...)
	p.stdin.Close()
	return result{p.code(t), p.stdout.String(), p.stderr.String()}
}

// recorder is a buffer for one writer and many readers.
type recorder struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// etcd starts a server for the test and returns it with the environment of commands that use it.
func etcd(t *testing.T) (*server.Server, []string) {
	t.Helper()
	s, err := server.Start(t.Context(), server.Config{Temporary: true, NoFsync: true, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return s, []string{endpointEnv + "=" + s.Endpoints()[0]}
}

// until waits for a condition that no event tells of.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func TestWrongUsageExits64(t *testing.T) {
	for _, args := range [][]string{
		{"nosuch"},
		{"help", "nosuch"},
		{"--nosuch"},
		{"version", "extra"},
		{"version", "--endpoint", "http://127.0.0.1:1"},
		{"ls", "extra"},
		{"serve"},
		{"serve", "--temporary", "--data-dir", "x"},
		{"lock"},
		{"lock", "a"},
		{"lock", "a", "--"},
		{"lock", "a", "true"},
		{"lock", "--", "true"},
		{"lock", "a", "b", "--", "true"},
		{"lock", "a", "-n", "-w", "1s", "--", "true"},
		{"lock", "a", "-w", "-1s", "--", "true"},
		{"lock", "a", "-E", "256", "--", "true"},
		{"lock", "a", "--ttl", "1s", "--", "true"},
		{"lock", "a", "--ttl", "5s", "--grace", "4s", "--", "true"},
		{"lock", "a", "--ttl", "3s", "--", "true"},
		{"lock", "a#b", "--", "true"},
		{"ls", "--endpoint", "foo"},
		{"ls", "--endpoint", "ftp://127.0.0.1:1"},
		{"ls", "--endpoint", "http://me:secret@127.0.0.1:1"},
		{"ls", "--endpoint", ""},
		{"demo", "extra"},
	} {
		r := stile(t, nil, args...)
		if r.code != exitUsage || !strings.HasPrefix(r.stderr, "stile: ") || r.stdout != "" || strings.Contains(r.stderr, "secret") {
			t.Errorf("stile %q: %v, want exit %d and a line for standard error", args, r, exitUsage)
		}
	}
}

func TestExitCodesAreFoundInWrappedErrors(t *testing.T) {
	var exit *exitCode
	err := fmt.Errorf("around: %w", &exitCode{exitLost, io.EOF})
	if !errors.As(err, &exit) || exit.code != exitLost || !errors.Is(err, io.EOF) {
		t.Errorf("%v: code %v, want %d and io.EOF", err, exit, exitLost)
	}
}
