package main

import (
	"encoding/json"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/version"
)

// report is what was measured. Its JSON form is for programs.
type report struct {
	Date   time.Time `json:"date"`
	Go     string    `json:"go"`
	OS     string    `json:"os"`
	Arch   string    `json:"arch"`
	CPUs   int       `json:"cpus"`
	Etcd   string    `json:"etcd"`   // version of the client, and of the own server
	Server string    `json:"server"` // which one it was measured on
	Load   [2]string `json:"load"`   // averages at the beginning and at the end; empty where that can't be told
	Put    float64   `json:"put_p50_s"`
	Runs   int       `json:"runs"`
	Time   float64   `json:"time_s"`

	Scenarios []*result `json:"scenarios"`
}

// result is one scenario of a report.
type result struct {
	Name    string    `json:"name"`
	Title   string    `json:"title"`
	Figures []*figure `json:"figures"`
}

// figure is one measure, of all systems.
type figure struct {
	Key     string               `json:"key"`
	Title   string               `json:"title"`
	Unit    unit                 `json:"unit"`
	Runs    map[string][]float64 `json:"runs"`   // by system
	Median  map[string]float64   `json:"median"` // by system
	Ratio   *float64             `json:"ratio,omitempty"`
	Goal    string               `json:"goal,omitempty"`
	Verdict verdict              `json:"verdict,omitempty"`

	goal *goal
}

func newReport(o options) *report {
	rep := &report{
		Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Etcd: version.Version, Server: o.endpoint, Runs: o.runs, Time: o.time.Seconds(),
	}
	if o.endpoint == "" {
		rep.Server = "a process of its own, over TCP, with fsync"
	}
	rep.Load[0] = load()
	for _, s := range o.scenarios {
		res := &result{Name: s.name, Title: s.title}
		for _, m := range s.measures {
			res.Figures = append(res.Figures, &figure{
				Key: m.key, Title: m.title, Unit: m.unit, Runs: make(map[string][]float64), Median: make(map[string]float64), goal: m.goal,
			})
		}
		rep.Scenarios = append(rep.Scenarios, res)
	}
	return rep
}

// load is the load average over the last minute, five minutes and quarter of an hour, where Linux tells it.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(b))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// add takes what one run measured.
func (rep *report) add(scenario, system string, s sample) {
	for _, res := range rep.Scenarios {
		if res.Name != scenario {
			continue
		}
		for _, f := range res.Figures {
			if v, ok := s[f.Key]; ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
				f.Runs[system] = append(f.Runs[system], v)
			}
		}
	}
}

// finish draws the conclusions.
func (rep *report) finish() {
	rep.Load[1] = load()
	for _, res := range rep.Scenarios {
		for _, f := range res.Figures {
			for system, runs := range f.Runs {
				f.Median[system] = median(runs)
			}
			f.compare()
		}
	}
	for _, res := range rep.Scenarios {
		for _, f := range res.Figures {
			rep.judge(f)
		}
	}
}

// of is the median of a system; NaN if it was not measured.
func (f *figure) of(system string) float64 {
	if v, ok := f.Median[system]; ok {
		return v
	}
	return math.NaN()
}

func (f *figure) compare() {
	if ratio := f.of(stile) / f.of(etcd); f.Unit != cores && !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
		f.Ratio = &ratio
	}
}

func (rep *report) judge(f *figure) {
	if f.goal == nil {
		return
	}
	ratio := math.NaN()
	if f.Ratio != nil {
		ratio = *f.Ratio
	}
	f.Goal, f.Verdict = f.goal.String(), f.goal.judge(f.of(stile), ratio, rep.ours(f.goal.of, f.Key))
}

// ours is our median in a scenario; NaN if it was not measured.
func (rep *report) ours(scenario, key string) float64 {
	for _, res := range rep.Scenarios {
		for _, f := range res.Figures {
			if res.Name == scenario && f.Key == key {
				return f.of(stile)
			}
		}
	}
	return math.NaN()
}

func writeJSON(w io.Writer, rep *report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(rep)
}
