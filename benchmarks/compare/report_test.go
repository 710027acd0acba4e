package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantileAndMedianAndJain(t *testing.T) {
	d := []time.Duration{4 * time.Second, time.Second, 3 * time.Second, 2 * time.Second}
	for q, want := range map[float64]float64{0: 1, 0.25: 1, 0.5: 2, 0.75: 3, 0.99: 4, 1: 4} {
		if got := quantile(d, q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing: %v, want NaN", got)
	}
	if a, b := median([]float64{3, 1, 2}), median([]float64{4, 1, 2, 3}); a != 2 || b != 2.5 {
		t.Errorf("medians %v and %v, want 2 and 2.5", a, b)
	}
	if a, b := jain([]float64{5, 5, 5, 5}), jain([]float64{5, 0, 0, 0}); a != 1 || b != 0.25 {
		t.Errorf("fairness %v and %v, want 1 and 0.25", a, b)
	}
}

func TestGoalsAreJudged(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		goal               *goal
		ours, ratio, other float64
		want               verdict
	}{
		{atLeast(20), 1, 20, nan, met},
		{atLeast(20), 1, 19.9, nan, missed},
		{atLeast(20), 1, nan, nan, undecided},
		{atMost(1.1), 1, 1.1, nan, met},
		{atMost(1.1), 1, 1.2, nan, missed},
		{none(), 0, nan, nan, met},
		{none(), 1, nan, nan, missed},
		{none(), nan, nan, nan, undecided},
		{steady("x"), 1.5, nan, 1, met},
		{steady("x"), 1.6, nan, 1, missed},
		{steady("x"), 1, nan, nan, undecided},
		{steady("x"), nan, nan, 1, undecided},
	} {
		if got := c.goal.judge(c.ours, c.ratio, c.other); got != c.want {
			t.Errorf("%v, ours %v, ratio %v, other %v: %s, want %s", c.goal, c.ours, c.ratio, c.other, got, c.want)
		}
	}
}

// TestGoalsNameScenariosAndMeasuresThatThereAre: or they would never be decided.
func TestGoalsNameScenariosAndMeasuresThatThereAre(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range scenarios() {
		if names[s.name] {
			t.Errorf("two scenarios are called %s", s.name)
		}
		names[s.name] = true
	}
	for _, s := range scenarios() {
		for _, m := range s.measures {
			if m.goal != nil && m.goal.of != "" && !names[m.goal.of] {
				t.Errorf("%s, %s: the goal compares with %q, which there is not", s.name, m.key, m.goal.of)
			}
		}
	}
}

// TestTheTableShowsMediansRatiosAndGoals: and what was not measured.
func TestTheTableShowsMediansRatiosAndGoals(t *testing.T) {
	o := options{runs: 3, time: time.Second, scenarios: []scenario{
		contended("few", nil, 2, atLeast(20)),
		parked("many", nil, 5000, atLeast(12), steady("few")),
	}}
	rep := newReport(o)
	for _, v := range []float64{500, 600, 700} {
		rep.add("few", stile, sample{rate: v, overP50: v / 1e6})
		rep.add("few", etcd, sample{rate: v / 25, overP99: 0.1})
		rep.add("many", stile, sample{rate: v, overP50: 0.001, park: 1.5, refused: 2})
	}
	rep.finish()
	rep.Load, rep.Put, rep.Date = [2]string{"1", "2"}, 0.00049, time.Date(2026, 11, 28, 1, 45, 0, 0, time.UTC)
	rep.Go, rep.OS, rep.Arch, rep.CPUs, rep.Etcd = "go1.26", "linux", "amd64", 2, "3.7.3"
	var out bytes.Buffer
	if err := writeTable(&out, rep); err != nil {
		t.Fatal(err)
	}
	got, _, _ := strings.Cut(out.String(), "\nRatios are")
	want := `2026-11-28 01:45 UTC, go1.26 linux/amd64, 2 cores; etcd 3.7.3: a process of its own, over TCP, with fsync
medians of 3 runs, 1s for each figure; one put takes 0.49 ms; load average 1 before, 2 after

                                    stile         etcd     ratio  goal

2 contenders few
  acquisitions                      600/s       24.0/s    25.00x  >= 20x                   met
  hand-over, p50                  0.60 ms            -
  p99                                   -    100.00 ms
  fairness (Jain)                       -            -
  requests for each                     -            -
  CPU for each, clients                 -            -
  CPU for each, server                  -            -
  used by other processes               -            -

5000 waiters many
  until all stand in line          1.50 s            -
  refused                               2            -            0                        missed
  ghosts                                -            -            0                        not measured
  hand-overs                        600/s            -            >= 12x                   not measured
  hand-over, p50                  1.00 ms            -            <= 1.5x few              missed
  p99                                   -            -
  requests for each                     -            -
  CPU for each, clients                 -            -
  CPU for each, server                  -            -
  used by other processes               -            -
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
}
