package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"
)

// writeTable writes the report for people.
func writeTable(w io.Writer, rep *report) error {
	t := table{w: w, colour: terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	t.head(rep)
	for _, res := range rep.Scenarios {
		t.line("\n%s %s", t.in(bold, res.Title), t.in(faint, res.Name))
		for _, f := range res.Figures {
			t.figure(f)
		}
	}
	t.line("\n%s", strings.TrimSpace(notes))
	return t.err
}

const notes = `
Ratios are of stile to etcd. Contenders have a client each; waiters are spread over 8 clients (stile: one session on each;
etcd: a session for each waiter, after whose lease it names the key). All want it all the time and do nothing with it. A
hand-over lasts from the beginning of a release to the next one's return from acquire. With more than 1,000 waiters, 1,000 of
etcd's are real and plain leased keys stand behind them: to park more takes minutes, and many are refused. Ghosts stand in
line, and nobody waits there. Requests are all messages to the server but the renewals of leases.`

// The looks of text on a terminal.
const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
)

type table struct {
	w      io.Writer
	colour bool
	err    error
}

func (t *table) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
}

func (t *table) in(look, text string) string {
	if !t.colour || text == "" {
		return text
	}
	return "\x1b[" + look + "m" + text + "\x1b[0m"
}

func (t *table) head(rep *report) {
	t.line("%s, %s %s/%s, %d cores; etcd %s: %s", rep.Date.Format("2006-01-02 15:04 MST"), rep.Go, rep.OS, rep.Arch, rep.CPUs, rep.Etcd, rep.Server)
	load := ""
	if rep.Load[0] != "" {
		load = fmt.Sprintf("; load average %s before, %s after", rep.Load[0], rep.Load[1])
	}
	t.line("medians of %d runs, %gs for each figure; one put takes %s%s", rep.Runs, rep.Time, format(seconds, rep.Put), load)
	t.line("\n  %-26s %12s %12s %9s  %s", "", stile, etcd, "ratio", "goal")
}

func (t *table) figure(f *figure) {
	ratio := ""
	if f.Ratio != nil {
		ratio = fmt.Sprintf("%.2fx", *f.Ratio)
	}
	row := fmt.Sprintf("  %-26s %12s %12s %9s", f.Title, format(f.Unit, f.of(stile)), format(f.Unit, f.of(etcd)), ratio)
	if f.Goal != "" {
		row += "  " + padded(f.Goal, 24) + " " + t.in(looks[f.Verdict], string(f.Verdict))
	}
	t.line("%s", row)
}

var looks = map[verdict]string{met: green, missed: red, undecided: faint}

func padded(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// format writes a figure with three digits or so.
func format(u unit, v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case u == seconds && v >= 1:
		return fmt.Sprintf("%.2f s", v)
	case u == seconds:
		return fmt.Sprintf("%.2f ms", v*1e3)
	case u == perSecond && v < 100:
		return fmt.Sprintf("%.1f/s", v)
	case u == perSecond:
		return fmt.Sprintf("%.0f/s", v)
	case u == cores:
		return fmt.Sprintf("%.1f cores", v)
	case u == index:
		return fmt.Sprintf("%.3f", v)
	case v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
