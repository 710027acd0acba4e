package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/lock"
)

func TestLsOfNothingIsEmpty(t *testing.T) {
	_, env := etcd(t)
	if r := stile(t, env, "ls"); r != (result{0, "", "no locks\n"}) {
		t.Errorf("ls: %v", r)
	}
	if r := stile(t, env, "ls", "--json"); r != (result{0, "[]\n", ""}) {
		t.Errorf("ls --json: %v", r)
	}
}

func TestLsShowsHoldersAndWaiters(t *testing.T) {
	s, env := etcd(t)
	holder := start(t, env, "lock", "reports/nightly", "--", "sh", "-c", "echo $STILE_FENCING_TOKEN; read end")
	token := holder.line(t)
	waiter := start(t, env, "lock", "reports/nightly", "--", "true")
	until(t, "somebody waits", func() bool {
		state, err := lock.Inspect(t.Context(), s.Client(), "reports/nightly")
		return err == nil && len(state.Waiters) == 1
	})
	r := stile(t, env, "ls")
	lines := strings.Split(r.stdout, "\n")
	if r.code != 0 || len(lines) != 3 || strings.Join(strings.Fields(lines[0]), " ") != "NAME HOLDER TOKEN SINCE WAITERS" {
		t.Fatalf("ls: %v", r)
	}
	f := strings.Fields(lines[1])
	if len(f) != 5 || f[0] != "reports/nightly" || !strings.HasSuffix(f[1], ":"+strconv.Itoa(holder.Process.Pid)) || f[2] != token || f[4] != "1" {
		t.Errorf("ls: %q; want reports/nightly, process %d, token %s and 1 waiter", lines[1], holder.Process.Pid, token)
	}
	var states []lock.State
	r = stile(t, env, "ls", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &states); err != nil || len(states) != 1 {
		t.Fatalf("ls --json: %v, %v", r, err)
	}
	if st := states[0]; st.Holder.PID != holder.Process.Pid || st.Holder.Token.String() != token || len(st.Waiters) != 1 || st.Waiters[0].PID != waiter.Process.Pid {
		t.Errorf("ls --json: %+v", st)
	}
	holder.stdin.Close()
	if holder.code(t) != 1 || waiter.code(t) != 0 { // read at the end of its input gives 1
		t.Errorf("exit %d and %d, want 1 and 0", holder.code(t), waiter.code(t))
	}
}

func TestLsPrintsNothingThatMovesTheCursor(t *testing.T) {
	var out strings.Builder
	err := printLocks(&out, []lock.State{{Name: "x\x1b[2J\ny\tz", Holder: &lock.Holder{Host: "a\rb"}}}, time.Now())
	if got := out.String(); err != nil || !strings.Contains(got, `"x\x1b[2J\ny\tz"`) || !strings.Contains(got, `"a\rb":0`) || strings.Count(got, "\n") != 2 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAgeHasTheTwoUnitsThatTellMost(t *testing.T) {
	now := time.Now()
	for want, d := range map[string]time.Duration{
		"0s": -time.Minute, "59s": 59 * time.Second, "1m1s": 61 * time.Second, "2h5m": 2*time.Hour + 5*time.Minute, "3d4h": 76 * time.Hour,
	} {
		if got := age(now.Add(-d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := age(time.Time{}, now); got != "-" {
		t.Errorf("unknown: %q, want -", got)
	}
}
