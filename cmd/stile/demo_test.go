//go:build unix

package main

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stile-dev/stile/cmd/stile/internal/demo"
)

// events reads what demo --json has printed.
func events(t *testing.T, stdout string) []demo.Event {
	t.Helper()
	var out []demo.Event
	for line := range strings.Lines(stdout) {
		var e demo.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

func event(t *testing.T, all []demo.Event, name string) demo.Event {
	t.Helper()
	i := slices.IndexFunc(all, func(e demo.Event) bool { return e.Event == name })
	if i < 0 {
		t.Fatalf("no event %q", name)
	}
	return all[i]
}

// lines are the tokens in a ledger, as the observer read them.
func lines(all []demo.Event, ledger string) (tokens []string) {
	for _, e := range all {
		if e.Event == "line" && e.Ledger == ledger {
			tokens = append(tokens, e.Line.Token.String())
		}
	}
	return tokens
}

func TestDemoShowsALateWriteAndItsRefusal(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	began := time.Now()
	r := stile(t, []string{"TMPDIR=" + tmp}, "demo", "--json")
	if took := time.Since(began); r.code != 0 || took > limit || r.stderr != "" {
		t.Fatalf("after %v: %v, want exit 0 within %v", took, r, limit)
	}
	all := events(t, r.stdout)
	zombie, next := event(t, all, "holds").Token, event(t, all, "taken-over").Token
	if next.Compare(zombie) <= 0 {
		t.Errorf("token %s after %s, want it to rise", next, zombie)
	}
	if e := event(t, all, "refused"); e.Token != zombie || e.Seen != next || e.Worker != "A" {
		t.Errorf("refused: %+v, want A's token %s after %s", e, zombie, next)
	}
	if e := event(t, all, "wrote-late"); e.Ledger != "plain" || e.Line.Token != zombie {
		t.Errorf("written late: %+v, want token %s in the plain ledger", e, zombie)
	}
	handed, recovered := event(t, all, "handed-over"), event(t, all, "recovered")
	if handed.Millis <= 0 || handed.Millis > 1000 || recovered.Millis < 500 || recovered.Millis > 8000 {
		t.Errorf("handed over in %v ms, recovered in %v ms; want below 1000, and about the TTL of 2000", handed.Millis, recovered.Millis)
	}
	z, n, h, c := zombie.String(), next.String(), handed.Token.String(), recovered.Token.String()
	if got, want := lines(all, "plain"), []string{z, n, z, h, c}; !slices.Equal(got, want) {
		t.Errorf("plain ledger: %q, want %q", got, want)
	}
	if got, want := lines(all, "fenced"), []string{z, n, h, c}; !slices.Equal(got, want) {
		t.Errorf("fenced ledger: %q, want %q", got, want)
	}
	for _, e := range all {
		if e.Event == "claim" && !*e.OK {
			t.Errorf("not seen: %s", e.Text)
		}
	}
	nothingLeft(t, tmp, all)
}

// nothingLeft looks for the processes and the directories of a demo.
func nothingLeft(t *testing.T, tmp string, all []demo.Event) {
	t.Helper()
	started := 0
	for _, e := range all {
		if e.Event != "started" {
			continue
		}
		started++
		if alive(e.PID) {
			t.Errorf("worker %s, process %d, is left", e.Worker, e.PID)
		}
	}
	if started < 3 {
		t.Errorf("%d workers started, want 3", started)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

func TestDemoNoticesThatTheGateIsMissing(t *testing.T) {
	t.Parallel()
	r := stile(t, nil, "demo", "--json", "--no-gate")
	if r.code != exitError || !strings.Contains(r.stderr, "not seen: ") || strings.Contains(r.stdout, `"done"`) {
		t.Errorf("%v, want exit 1 and what was not seen", r)
	}
	if all := events(t, r.stdout); len(lines(all, "fenced")) != len(lines(all, "plain")) {
		t.Errorf("ledgers: %q and %q, want them alike", lines(all, "fenced"), lines(all, "plain"))
	}
}

func TestDemoCanBeInterruptedAtAnyTime(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"serving", "paused", "resumed", "killed"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			p := start(t, []string{"TMPDIR=" + tmp}, "demo", "--json")
			p.line(t, `"event":"`+at+`"`)
			p.signal(t, os.Interrupt)
			if code := p.code(t); code != exitInterrupted || p.stderr.String() != "stile: interrupted before the end\n" {
				t.Errorf("exit %d, %q; want %d", code, p.stderr, exitInterrupted)
			}
			all := events(t, p.stdout.String())
			if at == "serving" {
				return // no worker may have been started
			}
			nothingLeft(t, tmp, all)
		})
	}
}

func TestDemoWhoseReaderIsGoneCleansUp(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--serve"}} {
		tmp := t.TempDir()
		p := start(t, []string{"TMPDIR=" + tmp}, append([]string{"demo", "--json"}, flags...)...)
		p.line(t, `"event":"started"`)
		p.out.Close()
		if code := p.code(t); code != exitError {
			t.Errorf("demo %q: exit %d, want %d: %s", flags, code, exitError, p.stderr)
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("demo %q left %v, %v", flags, left, err)
		}
	}
}

func TestNoWorkerOutlivesADemoThatIsKilled(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux can end a stopped worker then")
	}
	p := start(t, []string{"TMPDIR=" + t.TempDir()}, "demo", "--json")
	p.line(t, `"event":"paused"`)
	p.signal(t, syscall.SIGKILL)
	p.code(t)
	for _, e := range events(t, p.stdout.String()) {
		if e.Event == "started" {
			until(t, "worker "+strconv.Itoa(e.PID)+" has ended", func() bool { return !running(e.PID) })
		}
	}
}

func TestDemoSpeaksToPeopleWithoutColoursInAPipe(t *testing.T) {
	t.Parallel()
	r := stile(t, nil, "demo")
	if r.code != 0 || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("%v, want exit 0 and no escape sequence", r)
	}
	for _, want := range []string{"is stopped (SIGSTOP)", "<- late", "the fenced ledger refuses it", "is killed (kill -9)", "all of it was seen"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
}

func TestDemoWorkerIsNothingForPeople(t *testing.T) {
	if r := stile(t, nil, "demo-worker"); r.code != exitError || !strings.Contains(r.stderr, "stile demo") {
		t.Errorf("%v, want exit 1 and a hint", r)
	}
}
