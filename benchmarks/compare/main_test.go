package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestMain(m *testing.M) {
	if config, ok := os.LookupEnv(processEnv); ok {
		os.Exit(serveProcess(config))
	}
	recipestest.Main(m)
}

// TestTheProgramMeasuresOnAServerOfItsOwn: both systems, in a process of their own, and JSON for programs.
func TestTheProgramMeasuresOnAServerOfItsOwn(t *testing.T) {
	var out, errs bytes.Buffer
	args := []string{"--only", "lock-uncontended,lock-contended-2", "--time", "100ms", "--runs", "2", "--json", "--dir", t.TempDir(), "--verbose"}
	if code := run(t.Context(), args, &out, &errs); code != 0 {
		t.Fatalf("exit code %d, want 0: %s", code, &errs)
	}
	var rep report
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if len(rep.Scenarios) != 2 || rep.Put <= 0 {
		t.Fatalf("%d scenarios, a put takes %v s, want 2 and more than 0", len(rep.Scenarios), rep.Put)
	}
	for _, res := range rep.Scenarios {
		for _, f := range res.Figures {
			for _, system := range systemNames {
				if n := len(f.Runs[system]); n != 2 || f.Median[system] <= 0 {
					t.Errorf("%s, %s, %s: %d runs with a median of %v, want 2 above 0", res.Name, f.Key, system, n, f.Median[system])
				}
			}
			if f.Goal != "" && f.Verdict != met && f.Verdict != missed {
				t.Errorf("%s, %s: the goal %q is %q", res.Name, f.Key, f.Goal, f.Verdict)
			}
		}
	}
	if want := "run 2 of 2: lock-uncontended, etcd\nrun 2 of 2: lock-uncontended, stile\n"; !strings.Contains(errs.String(), want) {
		t.Errorf("progress without\n%sgot\n%s", want, &errs)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--only nothing":                 "no scenario begins with that",
		"--systems stile,zookeeper":      "they are stile,etcd",
		"--runs 0":                       "at least 1",
		"--time 1ms":                     "from 100ms",
		"extra":                          "nothing but flags",
		"--endpoint http://x --dir /tmp": "--dir is for the own server",
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit code %d, %q, want 2 and %q", args, code, &errs, want)
		}
	}
}

func TestQuickLeavesOutWhatIsLong(t *testing.T) {
	var errs bytes.Buffer
	o, err := parse([]string{"--quick", "--runs", "2"}, &errs)
	if err != nil {
		t.Fatal(err)
	}
	if o.runs != 2 || o.time.String() != "1s" {
		t.Errorf("%d runs of %v, want 2 of 1s", o.runs, o.time)
	}
	for _, s := range o.scenarios {
		if s.long {
			t.Errorf("%s is measured", s.name)
		}
	}
	if o, err = parse([]string{"--quick", "--only", "lock-parked-5000"}, &errs); err != nil || len(o.scenarios) != 1 {
		t.Errorf("named: %d scenarios, %v, want the one", len(o.scenarios), err)
	}
}
