package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// pairs measures one participant that is alone.
func (b *bench) pairs(ctx context.Context, e exclusive) (s sample, err error) {
	m, err := b.meet(ctx, e, 1, one)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close(ctx)) }()
	acquire := m.all()[0]
	var took []time.Duration
	var before cost
	for begin, end := b.window(); time.Now().Before(end); {
		start := time.Now()
		release, err := acquire(ctx)
		if err == nil {
			err = release(ctx)
		}
		if err != nil {
			return nil, err
		}
		if start.Before(begin) {
			before = b.cost(m)
			continue
		}
		took = append(took, time.Since(start))
	}
	s = sample{pairP50: quantile(took, 0.5), pairP99: quantile(took, 0.99)}
	b.cost(m).addTo(s, before, len(took))
	return s, nil
}

// window is when to measure: after a while of warming up.
func (b *bench) window() (begin, end time.Time) {
	begin = time.Now().Add(b.time / 10)
	return begin, begin.Add(b.time)
}

// contend measures n participants, each with a client of its own, who want it all the time and do nothing with it.
func (b *bench) contend(ctx context.Context, e exclusive, n int) (s sample, err error) {
	m, err := b.meet(ctx, e, n, one)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close(ctx)) }()
	var t turns
	begin, end := b.window()
	wait := t.loop(ctx, m.all(), end)
	before := b.costAt(ctx, m, begin)
	after := b.costAt(ctx, m, end)
	if err := wait(); err != nil {
		return nil, err
	}
	list := t.within(begin, end)
	if len(list) == 0 {
		return nil, fmt.Errorf("nobody got it within %v", b.time)
	}
	over := handOvers(list)
	s = sample{
		rate:     float64(len(list)) / b.time.Seconds(),
		overP50:  quantile(over, 0.5),
		overP99:  quantile(over, 0.99),
		fairness: jain(shares(list, n)),
	}
	after.addTo(s, before, len(list))
	return s, t.check()
}

// loop has all acquire and release until end. wait returns when those have had their turn who stand in line then.
func (t *turns) loop(ctx context.Context, all []acquire, end time.Time) (wait func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	for who, acquire := range all {
		wg.Go(func() {
			for time.Now().Before(end) {
				if err := t.take(ctx, who, acquire); err != nil {
					cancel(err) // the others need not wait for the end
					return
				}
			}
		})
	}
	return func() error {
		defer cancel(nil)
		wg.Wait()
		return context.Cause(ctx)
	}
}

// take is one turn.
func (t *turns) take(ctx context.Context, who int, acquire acquire) error {
	release, err := acquire(ctx)
	if err != nil {
		return err
	}
	t.enter(who)
	t.leave()
	return release(context.WithoutCancel(ctx)) // who is called off while it waits need not leave it behind
}
