package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// errHelp says that the usage was asked for, and printed.
var errHelp = flag.ErrHelp

type options struct {
	scenarios []scenario
	systems   []string
	time      time.Duration // for each measurement
	runs      int

	endpoint string // "": a server of its own
	dir      string
	profile  string

	list, json, verbose bool
}

const usage = `Measures the recipes of this module and those of others, in turn, on one server.

  go run ./benchmarks/compare [flags]

`

// parse reads the flags. What is wrong with them it prints to stderr, with the usage.
func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		f.PrintDefaults()
	}
	only := f.String("only", "", "`NAMES` of scenarios, or what they begin with, separated by commas (default: all)")
	systems := f.String("systems", strings.Join(systemNames, ","), "`NAMES` of the systems to measure")
	quick := f.Bool("quick", false, "one short run, with 1,000 waiters at most, for a look")
	f.DurationVar(&o.time, "time", 5*time.Second, "how long each measurement takes")
	f.IntVar(&o.runs, "runs", 3, "`NUMBER` of runs; the medians are shown")
	f.StringVar(&o.endpoint, "endpoint", "", "`URL` of an etcd to measure on (default: a server of its own)")
	f.StringVar(&o.dir, "dir", "", "`DIR` in which the own server keeps its data while it runs (default: the system's temporary one)")
	f.StringVar(&o.profile, "profile", "", "`DIR` for CPU profiles of the clients and of the own server")
	f.BoolVar(&o.list, "list", false, "list the scenarios")
	f.BoolVar(&o.json, "json", false, "print JSON, with the figures of every run")
	f.BoolVar(&o.verbose, "verbose", false, "tell what goes on even if standard error is not a terminal")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		o.quick(f)
	}
	if err := o.choose(f.Args(), *only, *systems, *quick); err != nil {
		_, _ = fmt.Fprintln(stderr, "compare:", err)
		return o, err
	}
	return o, nil
}

// quick is one run of a second each, unless said otherwise.
func (o *options) quick(f *flag.FlagSet) {
	given := make(map[string]bool)
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["time"] {
		o.time = time.Second
	}
	if !given["runs"] {
		o.runs = 1
	}
}

// choose takes what is to be measured, and refuses what can't be.
func (o *options) choose(args []string, only, systems string, quick bool) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("%q: there is nothing but flags", args[0])
	case o.time < 100*time.Millisecond || o.time > time.Minute:
		return fmt.Errorf("--time %v: from 100ms to 1m", o.time)
	case o.runs < 1:
		return fmt.Errorf("--runs %d: at least 1", o.runs)
	case o.endpoint != "" && o.dir != "":
		return errors.New("--dir is for the own server, and --endpoint names another")
	}
	for _, name := range systemNames {
		if slices.Contains(strings.Split(systems, ","), name) {
			o.systems = append(o.systems, name)
		}
	}
	if n := len(strings.Split(systems, ",")); n != len(o.systems) {
		return fmt.Errorf("--systems %q: they are %s", systems, strings.Join(systemNames, ","))
	}
	for prefix := range strings.SplitSeq(only, ",") {
		found := false
		for _, s := range scenarios() {
			if strings.HasPrefix(s.name, prefix) {
				found = true
				o.add(s, quick && only == "")
			}
		}
		if !found {
			return fmt.Errorf("--only %q: no scenario begins with that; --list lists them", prefix)
		}
	}
	return nil
}

func (o *options) add(s scenario, quick bool) {
	same := func(t scenario) bool { return t.name == s.name }
	if quick && s.long || slices.ContainsFunc(o.scenarios, same) {
		return
	}
	o.scenarios = append(o.scenarios, s)
}
