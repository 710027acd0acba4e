// Package chaos is the fault harness: real servers, clients in processes of their own, and faults drawn from a seed, while everything
// that happens is written down, and judged afterwards.
//
// A run is a row of rounds. Each starts servers (stile serve) and clients, has them work, inflicts faults for a while, heals all, waits,
// stops the clients, and looks at what is left. Then it is judged: see package check. The seed draws each round's faults and what each
// client does; what happens then is up to the machine.
//
// What a recipe's clients do is a Workload, a file of its own.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
)

// NewTools builds what the rounds need in dir, from the module at root, and finds out what is possible on this machine. Close them.
func NewTools(ctx context.Context, dir, root string) (*Tools, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &Tools{Dir: dir, Root: root, Self: self, Stile: filepath.Join(dir, "stile")}
	if err := t.build(ctx, t.Stile, "./cmd/stile"); err != nil {
		return nil, err
	}
	t.slow, t.NoSlow = newThrottle(dir)
	probe := filepath.Join(dir, "probe")
	if err := os.MkdirAll(probe, 0o700); err != nil {
		return nil, err
	}
	disk, err := mountSmall(probe, 1<<20)
	if err == nil {
		err = disk.unmount()
	}
	t.NoFull = err
	return t, nil
}

// build builds a program of the module.
func (t *Tools) build(ctx context.Context, out, pkg string, flags ...string) error {
	args := append([]string{"build", "-o", out}, append(flags, pkg)...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = t.Root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// Close removes what the tools made, but not the rounds that failed.
func (t *Tools) Close() error {
	errs := []error{os.Remove(t.Stile), os.Remove(filepath.Join(t.Dir, "probe"))}
	if t.slow != nil {
		errs = append(errs, t.slow.remove())
	}
	_ = os.Remove(t.Dir) // it stays if there is something in it
	return errors.Join(errs...)
}

// A Total is what came of several rounds.
type Total struct {
	check.Verdict
	Rounds  int
	Faults  map[string]int
	Invalid []string
	Kept    []string // directories of rounds that failed
	Took    time.Duration
}

// Add takes a round in.
func (t *Total) Add(r *Result) {
	if t.Faults == nil {
		t.Faults = map[string]int{}
	}
	t.Rounds++
	for k, n := range r.Faults {
		t.Faults[k] += n
	}
	t.Join(r.Verdict)
	t.Invalid = append(t.Invalid, r.Invalid...)
	if r.Dir != "" {
		t.Kept = append(t.Kept, r.Dir)
	}
}

// Code is the exit code that the run deserves.
func (t *Total) Code() int {
	switch {
	case len(t.Violations) > 0:
		return 1
	case len(t.Invalid) > 0 || t.Rounds == 0:
		return 2
	}
	return 0
}

// Write tells people what came of it; the last line is the verdict.
func (t *Total) Write(w io.Writer) {
	for _, k := range slices.Sorted(maps.Keys(t.Faults)) {
		tell(w, "  %5d × %s\n", t.Faults[k], k)
	}
	for _, k := range slices.Sorted(maps.Keys(t.Ops)) {
		tell(w, "  %7d × %s\n", t.Ops[k], k)
	}
	tell(w, "  %7d without an answer, %d events, %d stale writes refused by the store\n", t.Unknown, t.Events, t.Stale)
	for i, v := range t.Violations {
		if i == 20 {
			tell(w, "  … and %d more\n", len(t.Violations)-i)
			break
		}
		tell(w, "  VIOLATION %v\n", v)
	}
	for _, why := range t.Invalid {
		tell(w, "  NOT VALID %s\n", why)
	}
	for _, dir := range t.Kept {
		tell(w, "  kept %s\n", dir)
	}
	tell(w, "%s\n", t.verdict())
}

func (t *Total) verdict() string {
	word := [...]string{"OK", "VIOLATED", "NOT VALID"}[t.Code()]
	return fmt.Sprintf("%s: %d operations%s, %d faults of %d kinds in %d rounds (%v), %d violations; belief after loss %s, after a breach %s; "+
		"calls beyond their ctx %s, cleaning up %s; hand-over after a crash %s",
		word, sum(t.Ops), t.byRecipe(), sum(t.Faults), len(t.Faults), t.Rounds, t.Took.Round(time.Second), len(t.Violations),
		figure(t.AfterLoss), figure(t.AfterBreach), figure(t.Overrun), figure(t.CleanupOver), figure(t.HandOver))
}

// byRecipe is how many operations were of each, if there are several.
func (t *Total) byRecipe() string {
	of := map[string]int{}
	for k, n := range t.Ops {
		recipe, _, _ := strings.Cut(k, " ")
		of[recipe] += n
	}
	if len(of) < 2 {
		return ""
	}
	var parts []string
	for _, recipe := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s %d", recipe, of[recipe]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func sum(m map[string]int) (n int) {
	for _, i := range m {
		n += i
	}
	return n
}

func figure(f check.Figure) string {
	if f.Seen == 0 {
		return "not seen"
	}
	return f.Max.Round(time.Millisecond).String()
}
