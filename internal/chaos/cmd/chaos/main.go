// Command chaos runs the fault harness of this module, from its root directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stile-dev/stile/internal/chaos"
)

func main() {
	is, err := chaos.Role()
	if is {
		if err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(os.Args[1:]))
}

// The exit codes: a promise was not kept; the run says nothing.
const (
	exitViolated = 1
	exitInvalid  = 2
)

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano())>>10&0xffffffff, "what all is drawn from")
	duration := flags.Duration("duration", 3*time.Minute, "how long to go on, about")
	workload := flags.String("workload", "", "what the clients do; by default they take turns")
	members := flags.Int("members", 0, "how many servers, 1 or 3; by default it takes turns")
	dir := flags.String("dir", "", "where to keep what failed; by default a new temporary directory")
	mutants := flags.Bool("mutants", false, "see that what is broken on purpose is found")
	sound := flags.Bool("sound", false, "with -mutants: break nothing, and see that nothing is found")
	only := flags.String("only", "", "with -mutants: the name of one")
	if err := flags.Parse(args); err != nil {
		return exitInvalid
	}
	code, err := harness(ctx, *dir, func(t *chaos.Tools) (int, error) {
		if *mutants {
			return (&chaos.Trials{Tools: t, Seed: *seed, Only: *only, Sound: *sound, Out: os.Stdout}).Run(ctx)
		}
		s := &chaos.Soak{Tools: t, Duration: *duration, Seed: *seed, Workload: *workload, Members: *members, Out: os.Stdout}
		total, err := s.Run(ctx)
		if err == nil {
			total.Write(os.Stdout)
		}
		return total.Code(), err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return exitInvalid
	}
	return code
}

// harness runs f with tools in dir.
func harness(ctx context.Context, dir string, f func(t *chaos.Tools) (int, error)) (code int, err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "stile-chaos-"); err != nil {
			return exitInvalid, err
		}
	}
	t, err := chaos.NewTools(ctx, dir, ".")
	if err != nil {
		return exitInvalid, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return f(t)
}
