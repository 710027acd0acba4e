package sim

import (
	"slices"
	"time"

	"github.com/stile-dev/stile/recipes/internal/fakeetcd"
)

// fault is something that the nemesis does; it returns what ends it, if it lasts.
type fault struct {
	name string
	do   func(w *world, p *process) (end func())
	most time.Duration // that it lasts
}

var faults = []fault{
	{"partition", func(_ *world, p *process) func() { return p.cut(true, true) }, 30 * time.Second},
	{"requests lost", func(_ *world, p *process) func() { return p.cut(true, false) }, 20 * time.Second},
	{"answers lost", func(_ *world, p *process) func() { return p.cut(false, true) }, 20 * time.Second},
	{"slow", func(w *world, p *process) func() {
		slow := w.between(50*time.Millisecond, 4*time.Second, "slow")
		p.link.set(func(l *link) { l.slow = slow })
		return func() { p.link.set(func(l *link) { l.slow = 0 }) }
	}, 20 * time.Second},
	{"loss", func(w *world, p *process) func() {
		loss := w.between(0, 40, "loss")
		p.link.set(func(l *link) { l.loss = float64(loss) / 100 })
		return func() { p.link.set(func(l *link) { l.loss = 0 }) }
	}, 20 * time.Second},
	{"late requests", func(_ *world, p *process) func() {
		p.link.set(func(l *link) { l.late = 0.3 })
		return func() { p.link.set(func(l *link) { l.late = 0 }) }
	}, 20 * time.Second},
	{"reset", func(_ *world, p *process) func() { p.conn.Break(); return nil }, 0},
	{"revoke", func(w *world, _ *process) func() { w.revokeSome(); return nil }, 0},
	{"delete", func(w *world, _ *process) func() { w.deleteSome(); return nil }, 0},
	{"compact", func(w *world, _ *process) func() { w.etcd.Compact(); return nil }, 0},
	{"elect", func(w *world, _ *process) func() { w.etcd.Elect(); return nil }, 0},
	{"no leader", func(w *world, _ *process) func() { w.etcd.LoseLeader(); return w.etcd.Elect }, 5 * time.Second},
	{"transfer", (*world).transfer, 5 * election},
	{"suspend", func(_ *world, p *process) func() { p.suspend(); return func() { p.resume(false) } }, 30 * time.Second},
	{"pause", func(_ *world, p *process) func() { p.suspend(); return func() { p.resume(true) } }, 30 * time.Second},
	{"crash", func(w *world, p *process) func() { p.crash(w.between(0, 20*time.Second, "back")); return nil }, 0},
	{"close", func(w *world, p *process) func() { p.back = w.between(0, 2*time.Second, "back"); p.stop(); return nil }, 0},
	{"server pause", func(w *world, _ *process) func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pausedTil = time.Now().Add(w.between(0, 6*time.Second, "server pause"))
		return nil
	}, 0},
	{"no space", func(w *world, _ *process) func() {
		w.etcd.SetNoSpace(true)
		return func() { w.etcd.SetNoSpace(false) }
	}, 10 * time.Second},
}

// nemesis does one thing after the other, some at the same time, until the faults are over; then it ends them all.
func (w *world) nemesis() {
	possible := faults
	if w.faults != nil {
		possible = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !slices.Contains(w.faults, f.name) })
	}
	busy := make(map[string]time.Time) // one of a kind at a time on one target
	var running []running
	for {
		pause := w.around(w.every, "nemesis")
		running = w.end(running, pause)
		if w.ctx.Err() != nil {
			break
		}
		f := possible[w.below(len(possible), "fault")]
		p := w.target()
		if p == nil || time.Now().Before(busy[f.name]) || p.stands() {
			continue
		}
		lasts := w.between(0, f.most, "lasts")
		busy[f.name] = time.Now().Add(lasts)
		w.say("nemesis: %s of %s for %v", f.name, p.name, lasts)
		w.count("fault: " + f.name)
		if end := f.do(w, p); end != nil {
			running = append(running, runningFault(time.Now().Add(lasts), end))
		}
	}
	for _, r := range running {
		r.end()
	}
}

type running struct {
	until time.Time
	end   func()
}

func runningFault(until time.Time, end func()) running { return running{until, end} }

// end lets pause pass, and ends the faults whose time is over meanwhile. It returns the others.
func (w *world) end(all []running, pause time.Duration) []running {
	until := time.Now().Add(pause)
	for {
		slices.SortStableFunc(all, func(a, b running) int { return a.until.Compare(b.until) })
		if len(all) == 0 || all[0].until.After(until) {
			sleep(w.ctx, time.Until(until))
			return all
		}
		if !sleep(w.ctx, time.Until(all[0].until)) {
			return all
		}
		all[0].end()
		all = all[1:]
	}
}

// target is who suffers: mostly somebody who holds something.
func (w *world) target() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.holds) > 0 && w.chance(0.6, "the holder") {
		holds := slices.Clone(w.holds)
		slices.SortFunc(holds, func(a, b *holding) int { return int(a.token - b.token) })
		if p := holds[w.below(len(holds), "which")].by; !p.dead {
			return p
		}
	}
	return w.nodes[w.below(len(w.nodes), "whom")].now
}

func (p *process) stands() bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return p.still
}

func (p *process) cut(upward, downward bool) func() {
	p.link.set(func(l *link) { l.cut = [2]bool{upward, downward} })
	return func() {
		if p.world.chance(0.5, "reset after the cut", p.name) {
			p.conn.Break()
		}
		p.link.set(func(l *link) { l.cut = [2]bool{} })
	}
}

// revokeSome revokes a lease: an operator's mistake.
func (w *world) revokeSome() {
	if leases := w.etcd.Leases(); len(leases) > 0 {
		w.etcd.Revoke(operator, leases[w.below(len(leases), "lease")])
	}
}

// deleteSome deletes somebody's entry.
func (w *world) deleteSome() {
	w.mu.Lock()
	var all []*entry
	for _, l := range w.lines {
		for _, e := range l.live {
			all = append(all, e)
		}
	}
	w.mu.Unlock()
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b *entry) int { return int(a.rev - b.rev) })
	w.etcd.Delete(operator, all[w.below(len(all), "entry")].key)
}

// transfer moves the leadership away from under some nodes, which the old leader keeps serving; when it steps down they may be cut off.
func (w *world) transfer(_ *process) func() {
	w.mu.Lock()
	var stuck []*process
	for _, n := range w.nodes {
		if n.now != nil && w.chance(0.6, "stuck", n.name) {
			stuck = append(stuck, n.now)
		}
	}
	w.mu.Unlock()
	conns := make([]*fakeetcd.Conn, len(stuck))
	for i, p := range stuck {
		conns[i] = p.conn
	}
	w.etcd.Transfer(w.chance(0.5, "cut off with the old leader"), conns...)
	return func() {
		w.etcd.Rejoin(conns...)
		for _, p := range stuck {
			if w.chance(0.5, "cut after the transfer", p.name) {
				p.link.set(func(l *link) { l.cut = [2]bool{true, true} })
				time.AfterFunc(2*w.ttl, func() { p.link.set(func(l *link) { l.cut = [2]bool{} }) })
			}
		}
	}
}
