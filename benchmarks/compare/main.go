// Command compare measures the recipes of this module and those of others, in turn, on one server.
//
//	go run ./benchmarks/compare                     # everything: 10 minutes
//	go run ./benchmarks/compare --quick             # a look: a minute
//	go run ./benchmarks/compare --only contended --json
//
// The server is an etcd of package server, in a process of its own, over TCP, that waits for its disk (fsync) as in production;
// --endpoint names another one. Both systems use the same server, one after the other, and which of them is first
// alternates from run to run. What is printed is the median of the runs.
//
// # Adding to it
//
// A system's lock (or election: whatever one has at a time) is an exclusive: see locks.go. A scenario is a function that measures one system
// and a list of measures with their goals: see scenarios.go. The rest follows.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if config, ok := os.LookupEnv(processEnv); ok {
		os.Exit(serveProcess(config))
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. Goals that are missed are told, and are no failure; what could not be measured is one.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, errHelp):
		return 0
	case err != nil:
		return 2
	}
	if o.list {
		list(stdout, o.scenarios)
		return 0
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	rep, err := compare(ctx, o, progressTo(stderr, o.verbose))
	if rep != nil {
		if werr := write(stdout, rep, o.json); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "compare:", err)
		return 1
	}
	return 0
}

func list(w io.Writer, scenarios []scenario) {
	for _, s := range scenarios {
		_, _ = fmt.Fprintf(w, "%-20s %s\n", s.name, s.title)
	}
}

func write(w io.Writer, rep *report, asJSON bool) error {
	if asJSON {
		return writeJSON(w, rep)
	}
	return writeTable(w, rep)
}
