package chaos

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
)

// around is for how long before and after a violation the report tells everything.
const around = 3e9

// most is how many violations the report tells everything about.
const most = 20

// report writes what somebody needs who wants to know what happened: violations.txt, and a page for each lock that has some.
func report(dir string, res *Result, h *history.History) error {
	f, err := os.Create(filepath.Join(dir, "violations.txt"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	tell(w, "seed %d, workload %s, %d members, %d clients, TTL %v, margin %v\n",
		res.Seed, h.Setup.Workload, h.Setup.Members, h.Setup.Clients, h.Setup.TTL, h.Setup.Margin)
	for _, why := range res.Invalid {
		tell(w, "not valid: %s\n", why)
	}
	drawn := map[string]bool{}
	var errs []error
	for i, v := range res.Violations {
		tell(w, "\n%8.3f s  %v\n", seconds(v.At, res.Began), v)
		if i >= most {
			continue
		}
		for _, line := range happened(h, v, res.Began) {
			tell(w, "%s\n", line.text)
		}
		if about := v.Recipe + "/" + v.Name; v.Name != "" && len(drawn) < 3 && !drawn[about] {
			drawn[about] = true
			errs = append(errs, res.Draw(filepath.Join(dir, fmt.Sprintf("lock-%d.html", len(drawn))), v))
		}
	}
	return errors.Join(append(errs, w.Flush(), f.Close())...)
}

// tell writes what people read. That they can't is nothing to stop for.
func tell(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}

func seconds(t, since history.Time) float64 { return t.Sub(since).Seconds() }

// A line is something that happened.
type line struct {
	at   history.Time
	text string
}

// happened is all that happened to a violation's lock around it, and all faults then.
func happened(h *history.History, v check.Violation, began history.Time) (lines []line) {
	from, to := v.At-around, v.At+around
	add := func(at history.Time, format string, args ...any) {
		lines = append(lines, line{at, fmt.Sprintf("    %8.3f s  ", seconds(at, began)) + fmt.Sprintf(format, args...)})
	}
	for _, op := range h.Ops {
		if op.Name == v.Name && op.Call < to && (op.Return == 0 || op.Return > from) {
			add(op.Call, "client %d.%d %s %s %d: %s after %.3f s, token %d, rev %d %s",
				op.Client, op.Life, op.Recipe, op.Kind, op.ID, op.Result, seconds(op.Return, op.Call), op.Token, op.Rev, op.Err)
		}
	}
	for _, f := range h.Faults {
		if f.From < to && f.To > from {
			add(f.From, "FAULT %s until %.3f s %v %v %v", f.Kind, seconds(f.To, began), f.Clients, f.Keys, f.Note)
		}
	}
	for _, e := range h.Events {
		if v.Name != "" && e.Seen > from && e.Seen < to && about(e.Key, v.Name) {
			add(e.Seen, "rev %d %s create %d deleted %v %s", e.Rev, e.Key, e.Create, e.Delete, e.Value)
		}
	}
	for _, b := range h.Beliefs {
		if b.Name == v.Name && b.From < to && b.Err > from {
			add(b.From, "client %d.%d believes in token %d until %.3f s, its context lasts until %.3f s: %s",
				b.Client, b.Life, b.Token, seconds(b.Err, began), seconds(b.Context, began), b.Cause)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	return lines
}

// about tells whether a key belongs to a lock, whatever the workload.
func about(key, name string) bool {
	for _, w := range workloads {
		if n, ok := w.Place(key); ok && n == name {
			return true
		}
	}
	return strings.HasPrefix(key, dataPrefix) && strings.HasSuffix(key, "/"+name)
}
