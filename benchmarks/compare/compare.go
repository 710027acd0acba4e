package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// measureTimeout bounds one measurement of one system. The longest takes half a minute on two cores.
const measureTimeout = 3 * time.Minute

// compare measures what o says. The report has what was measured even if there is an error.
func compare(ctx context.Context, o options, say progress) (rep *report, err error) {
	endpoint, own := o.endpoint, (*process)(nil)
	if endpoint == "" {
		if own, err = startProcess(ctx, o.dir, o.profile); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, own.close()) }()
		endpoint = own.endpoint
	}
	b, hangUp, err := newBench(endpoint, o.time, say)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, hangUp()) }()
	b.own = own
	if o.profile != "" {
		stop, err := profileTo(filepath.Join(o.profile, "clients.pprof"))
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	rep = newReport(o)
	if rep.Put, err = b.puts(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", endpoint, err)
	}
	err = o.measureAll(ctx, b, rep)
	rep.finish()
	return rep, err
}

// measureAll goes on after a measurement that failed, but not after the end of ctx.
func (o *options) measureAll(ctx context.Context, b *bench, rep *report) error {
	var errs []error
	for run := range o.runs {
		for _, s := range o.scenarios {
			for _, system := range o.order(run) {
				b.say("run %d of %d: %s, %s", run+1, o.runs, s.name, system)
				got, err := b.measure(ctx, s, system)
				switch {
				case err == nil:
					rep.add(s.name, system, got)
				case ctx.Err() != nil:
					return errors.Join(append(errs, errors.New("interrupted"))...)
				default:
					errs = append(errs, fmt.Errorf("%s, %s: %w", s.name, system, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (b *bench) measure(ctx context.Context, s scenario, system string) (sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("given up after %v", measureTimeout))
	defer cancel()
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	return s.run(ctx, b, system)
}

// order alternates who is first.
func (o *options) order(run int) []string {
	systems := slices.Clone(o.systems)
	if run%2 == 1 {
		slices.Reverse(systems)
	}
	return systems
}
