package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	parkClients = 8
	// parkQuiet is how long nothing is sent and nothing comes when everybody waits. It is longer than the 100 ms for which etcd may
	// hold a new watch back.
	parkQuiet = 250 * time.Millisecond
)

// park measures n participants who come all at once and wait for one that has it. Then that one releases, and it goes from hand to
// hand; who had it waits again, so that there are always n.
func (b *bench) park(ctx context.Context, e exclusive, n int) (s sample, err error) {
	p := parking{bench: b, exclusive: e, waiters: n}
	if e.real > 0 && n > e.real {
		p.waiters, p.pads = e.real, n-e.real
	}
	if p.meeting, err = b.meet(ctx, e, parkClients, func(i int) int { return (p.waiters + i) / parkClients }); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	// On another client: what the holder has to do is not a part of the parking.
	if p.holder, err = e.open(ctx, b.control, p.meeting.name, 1); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.holder.close(ctx)) }()
	return p.measure(ctx)
}

// parking is a measurement by park.
type parking struct {
	*bench
	*meeting
	exclusive
	holder        *parties
	waiters, pads int
	before, after cost // the hand-overs
}

func (p *parking) measure(ctx context.Context) (s sample, err error) {
	release, err := p.holder.acquire[0](ctx)
	if err != nil {
		return nil, err
	}
	q := waitFor(ctx, p.all())
	defer q.stop()
	parked, early, err := p.fill(ctx, q)
	if err != nil {
		return nil, err
	}
	remove, err := p.addPads(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx))) }()
	list, began, err := p.handOver(ctx, q, release)
	if err != nil {
		return nil, err
	}
	left, err := p.standing(ctx, p.control, p.meeting.name)
	s = p.sample(list, began)
	if err := q.refusal(); err != nil {
		p.say("refused, among others: %v", err)
	}
	if p.pads == 0 { // otherwise few were put to the test
		s[park], s[refused], s[ghosts] = parked.Seconds(), float64(q.refusals()), float64(max(early, left))
	}
	return s, errors.Join(err, q.check())
}

// fill waits until all stand in line and have heard all that they wanted to know. It returns how long that took, and how many stand
// there for nobody.
func (p *parking) fill(ctx context.Context, q *queue) (took time.Duration, ghosts int, err error) {
	look := time.NewTicker(parkQuiet / 10)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("park: %w", context.Cause(ctx))
		}
		if p.traffic.quiet() < parkQuiet {
			continue
		}
		took = p.traffic.lastTime().Sub(q.begin)
		standing, err := p.standing(ctx, p.control, p.meeting.name)
		if err != nil {
			return 0, 0, err
		}
		if ghosts = standing - (1 + p.waiters - q.refusals()); ghosts >= 0 {
			return took, ghosts, nil
		}
	}
}

func (p *parking) addPads(ctx context.Context) (remove func(context.Context) error, err error) {
	if p.pads == 0 {
		return func(context.Context) error { return nil }, nil
	}
	return p.pad(ctx, p.control, p.meeting.name, p.pads)
}

// handOver has it go round for the time of a measurement, and returns when nobody waits any more.
func (p *parking) handOver(ctx context.Context, q *queue, release func(context.Context) error) (list []turn, began time.Time, err error) {
	p.before = p.cost(p.meeting)
	began = time.Now()
	q.leave()
	if err := release(ctx); err != nil {
		return nil, began, err
	}
	select {
	case <-time.After(p.time):
	case <-ctx.Done():
	}
	p.after = p.cost(p.meeting)
	q.last()
	if p.pads > 0 { // they would never have it
		q.cancel()
	}
	q.wait.Wait()
	return q.within(began, began.Add(p.time)), began, context.Cause(ctx)
}

// sample sums up the turns that began then.
func (p *parking) sample(list []turn, began time.Time) sample {
	took := p.time
	if p.pads > 0 && len(list) >= p.waiters { // who came after the pads never had it
		list = list[:p.waiters]
		took = list[len(list)-1].at.Sub(began)
	}
	over := handOvers(list)
	s := sample{
		rate:    float64(len(list)) / took.Seconds(),
		overP50: quantile(over, 0.5),
		overP99: quantile(over, 0.99),
	}
	p.after.addTo(s, p.before, len(list))
	return s
}
