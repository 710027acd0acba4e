//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
)

func TestLockExitsAsItsCommandDoes(t *testing.T) {
	_, env := etcd(t)
	for want, command := range map[int][]string{
		0:   {"true"},
		7:   {"sh", "-c", "exit 7"},
		143: {"sh", "-c", "kill -TERM $$"},
		137: {"sh", "-c", "kill -KILL $$"},
		126: {os.TempDir()},
		127: {"no-such-command"},
	} {
		for _, flags := range [][]string{nil, {"-n"}} {
			args := append(append([]string{"lock", "a"}, flags...), "--")
			if r := stile(t, env, append(args, command...)...); r.code != want {
				t.Errorf("lock %q -- %q: %v, want exit %d", flags, command, r, want)
			}
		}
	}
	if r := stile(t, nil, "lock", "a", "-w", "200ms", "--endpoint", "http://127.0.0.1:1", "--", "true"); r.code != exitWrapper {
		t.Errorf("without etcd: %v, want exit %d", r, exitWrapper)
	}
}

func TestLockLeavesTheCommandItsArgumentsAndStreams(t *testing.T) {
	_, env := etcd(t)
	p := start(t, env, "lock", "a", "--", "sh", "-c", `echo "$@"; cat; echo oops >&2`, "-n", "--", "--ttl", "-w", "lock")
	io.WriteString(p.stdin, "from stdin\n")
	p.stdin.Close()
	if code := p.code(t); code != 0 {
		t.Errorf("exit %d, want 0: %s", code, p.stderr)
	}
	if got, want := p.stdout.String(), "-- --ttl -w lock\nfrom stdin\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if got := p.stderr.String(); got != "oops\n" {
		t.Errorf("stderr %q, want the command's own alone", got)
	}
}

func TestCommandKnowsItsLockAndARisingToken(t *testing.T) {
	_, env := etcd(t)
	env = append(env, "STILE_LOCK_NAME=outer", "STILE_FENCING_TOKEN=1") // as inside another stile lock
	last := 0
	for range 3 {
		r := stile(t, env, "lock", "reports/nightly", "--", "sh", "-c", `echo "$STILE_LOCK_NAME $STILE_FENCING_TOKEN"`)
		name, text, _ := strings.Cut(strings.TrimSpace(r.stdout), " ")
		token, err := strconv.Atoi(text)
		if name != "reports/nightly" || err != nil || token <= last {
			t.Errorf("the command has %q, want reports/nightly and a token above %d", r.stdout, last)
		}
		last = token
	}
}

// holding starts a command under lock a that prints its pid, and then does what the script says.
func holding(t *testing.T, env []string, script string, flags ...string) (p *process, pid int) {
	t.Helper()
	args := append(append([]string{"lock", "a"}, flags...), "--", "sh", "-c", "echo $$; "+script)
	p = start(t, env, args...)
	pid, err := strconv.Atoi(p.line(t))
	if err != nil {
		t.Fatal(err)
	}
	return p, pid
}

func TestLockThatIsHeldExits75(t *testing.T) {
	_, env := etcd(t)
	holding(t, env, "read end")
	for want, flags := range map[int][]string{75: {"-n"}, 76: {"-n", "-E", "76"}, 9: {"-w", "200ms", "-E", "9"}} {
		args := append(append([]string{"lock", "a"}, flags...), "--", "echo", "ran")
		if r := stile(t, env, args...); r.code != want || r.stdout != "" {
			t.Errorf("lock %q: %v, want exit %d and nothing run", flags, r, want)
		}
	}
	if r := stile(t, env, "lock", "a", "-w", "200ms", "--", "echo", "ran"); r.code != exitNotAcquired || r.stdout != "" {
		t.Errorf("lock -w: %v, want exit %d and nothing run", r, exitNotAcquired)
	}
}

func TestLostLockEndsTheCommandAndNeverExits0(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		flags  []string
	}{
		"asked":  {`trap 'exit 0' TERM; while :; do sleep 0.05; done`, nil},
		"killed": {`trap '' TERM; while :; do sleep 0.05; done`, []string{"--grace", "100ms"}},
		"-n":     {`trap '' TERM; while :; do sleep 0.05; done`, []string{"-n"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, env := etcd(t)
			p, pid := holding(t, env, c.script, c.flags...)
			breakLock(t, s)
			if code := p.code(t); code != exitLost {
				t.Errorf("exit %d, want %d: %s", code, exitLost, p.stderr)
			}
			if alive(pid) {
				t.Error("the command goes on without the lock")
			}
		})
	}
}

// breakLock deletes what is held.
func breakLock(t *testing.T, s *server.Server) {
	t.Helper()
	if _, err := s.Client().Delete(t.Context(), "/stile/v1/lock/a/e/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// The grace is within the time that the lease lives, or somebody else could have the lock while the command still runs.
func TestCommandHasEndedBeforeItsLeaseCan(t *testing.T) {
	t.Parallel()
	const ttl = 12 * time.Second
	s := start(t, nil, "serve", "--temporary", "--listen", anyPort)
	env := []string{endpointEnv + "=" + strings.TrimSuffix(strings.Fields(s.line(t, "serving"))[3], ",")}
	p, pid := holding(t, env, `trap '' TERM; while :; do sleep 0.05; done`, "--ttl", ttl.String())
	s.signal(t, syscall.SIGSTOP) // no renewal from here on
	stopped := time.Now()
	until(t, "the command has ended", func() bool { return !running(pid) })
	if took := time.Since(stopped); took > ttl-time.Second {
		t.Errorf("the command ended after %v; its lease of %v ends soon after, or has", took, ttl)
	}
	s.signal(t, syscall.SIGCONT)
	if code := p.code(t); code != exitLost {
		t.Errorf("exit %d, want %d: %s", code, exitLost, p.stderr)
	}
	s.signal(t, syscall.SIGTERM)
	s.code(t)
}

// Etcd goes away while the command runs, and the command ends under a lock that is believed to be held.
func TestCommandThatEndedWellIsNotLostWithItsRelease(t *testing.T) {
	t.Parallel()
	s := start(t, nil, "serve", "--temporary", "--listen", anyPort)
	env := []string{endpointEnv + "=" + strings.TrimSuffix(strings.Fields(s.line(t, "serving"))[3], ",")}
	p, _ := holding(t, env, "read end; exit 7", "--ttl", "60s")
	s.signal(t, syscall.SIGSTOP)
	p.stdin.Close()
	began := time.Now()
	if code := p.code(t); code != 7 || !strings.Contains(p.stderr.String(), "stile: ") {
		t.Errorf("exit %d, want 7 and a word on the release: %s", code, p.stderr)
	}
	if took := time.Since(began); took > 4*cleanup {
		t.Errorf("it ended %v after the command, want about %v", took, 2*cleanup)
	}
	s.signal(t, syscall.SIGCONT)
	s.signal(t, syscall.SIGTERM)
	s.code(t)
}

func TestOutcomeIsTheCommandsUnlessItWasStopped(t *testing.T) {
	released := fmt.Errorf("release: %w", session.ErrLost)
	for want, w := range map[int]*wrapper{
		7:        {started: true, code: 7},
		exitLost: {started: true, code: 7, lost: session.ErrLost},
	} {
		var exit *exitCode
		if err := w.outcome(released); !errors.As(err, &exit) || exit.code != want {
			t.Errorf("%+v: %v, want exit %d", w, err, want)
		}
	}
}

func TestLockSaysWhatIsWrong(t *testing.T) {
	_, env := etcd(t)
	holding(t, env, "read end")
	nobody := []string{endpointEnv + "=http://127.0.0.1:1"}
	for _, c := range []struct {
		env  []string
		args []string
		code int
		want string
	}{
		{env, []string{"lock", "a", "-w", "200ms"}, exitNotAcquired, `stile: lock "a": not acquired within 200ms (--wait)` + "\n"},
		{nobody, []string{"lock", "a", "-w", "200ms"}, exitWrapper, "stile: lock \"a\": can't connect to http://127.0.0.1:1: connection refused (is stile serve running there?)\n"},
		{nobody, []string{"lock", "a#b"}, exitUsage, "'#' is kept"},
	} {
		if r := stile(t, c.env, append(c.args, "--", "true")...); r.code != c.code || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%q: %v, want exit %d and %q", c.args, r, c.code, c.want)
		}
	}
}

func TestLostLockEndsTheWholeProcessGroup(t *testing.T) {
	s, env := etcd(t)
	p, pid := holding(t, env, `trap '' TERM; sleep 100 >&- & echo $!; wait`, "--grace", "50ms")
	grandchild, err := strconv.Atoi(p.line(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(grandchild, syscall.SIGKILL) })
	breakLock(t, s)
	p.code(t)
	until(t, "both have ended", func() bool { return !running(pid) && !running(grandchild) })
}

// running is alive, but for what only waits to be collected by its parent.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return alive(pid) && !os.IsNotExist(err)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestSignalsReachTheCommand(t *testing.T) {
	_, env := etcd(t)
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: 3, syscall.SIGUSR1: 4, syscall.SIGHUP: 129} {
		p, _ := holding(t, env, `trap 'exit 3' TERM; trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done`)
		p.line(t, "ready")
		p.signal(t, sig)
		if code := p.code(t); code != want {
			t.Errorf("%v: exit %d, want %d: %s", sig, code, want, p.stderr)
		}
	}
	if r := stile(t, env, "lock", "a", "-n", "--", "true"); r.code != 0 {
		t.Errorf("the lock was not given back: %v", r)
	}
}

func TestSignalEndsTheWaitAndLeavesTheLine(t *testing.T) {
	s, env := etcd(t)
	holder, _ := holding(t, env, "read end; exit 0")
	waiter := start(t, env, "lock", "a", "--", "echo", "ran")
	until(t, "it waits", func() bool { return waiters(t, s) == 1 })
	waiter.signal(t, syscall.SIGTERM)
	if code := waiter.code(t); code != 143 || waiter.stdout.String() != "" {
		t.Errorf("exit %d, stdout %q; want 143 and nothing run", code, waiter.stdout)
	}
	if n := waiters(t, s); n != 0 {
		t.Errorf("%d in line, want 0", n)
	}
	holder.stdin.Close()
	if code := holder.code(t); code != 0 {
		t.Errorf("the holder: exit %d, want 0", code)
	}
}

func TestCommandDiesWithItsWrapper(t *testing.T) {
	_, env := etcd(t)
	p, pid := holding(t, env, "exec sleep 100", "--ttl", "4s")
	p.signal(t, syscall.SIGKILL)
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux can do this")
	}
	until(t, "the command has ended", func() bool { return !running(pid) })
}

func waiters(t *testing.T, s *server.Server) int {
	t.Helper()
	state, err := lock.Inspect(t.Context(), s.Client(), "a")
	if err != nil {
		t.Fatal(err)
	}
	return len(state.Waiters)
}
