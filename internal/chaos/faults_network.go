package chaos

import (
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/internal/proxy"
)

// hitSome is a fault of one client, or half of the time of all.
func (r *round) hitSome(a *act) (*history.Fault, []*crewman) {
	f, m := r.hit(a)
	if a.rand.IntN(2) == 0 {
		f.Server = true
		return f, r.crew
	}
	return f, []*crewman{m}
}

// network is a fault of one client's network: it begins, lasts, and ends.
func network(r *round, a *act, begin, end func(p *proxy.Proxy)) error {
	f, m := r.hit(a)
	m.each(begin)
	r.wait(a)
	m.each(end)
	r.end(f)
	return nil
}

func partition(r *round, a *act) error {
	return network(r, a, func(p *proxy.Proxy) { p.Hold(proxy.ToServer); p.Hold(proxy.ToClient) },
		func(p *proxy.Proxy) { p.Release(proxy.ToServer); p.Release(proxy.ToClient) })
}

func silence(r *round, a *act) error {
	return network(r, a, func(p *proxy.Proxy) { p.Cut(proxy.Silence) }, (*proxy.Proxy).Mend)
}

// partitionAll keeps everybody from etcd, which goes on to end leases.
func partitionAll(r *round, a *act) error {
	f := a.begin()
	f.Server = true
	for _, m := range r.crew {
		m.each(func(p *proxy.Proxy) { p.Hold(proxy.ToServer); p.Hold(proxy.ToClient) })
	}
	r.wait(a)
	for _, m := range r.crew {
		m.heal()
	}
	r.end(f)
	return nil
}

// lost ends the connections with what is held back in a direction.
func lost(dir proxy.Direction) func(p *proxy.Proxy) {
	return func(p *proxy.Proxy) {
		p.Cut(proxy.Reset)
		p.Release(dir)
		p.Mend()
	}
}

func loseAnswers(r *round, a *act) error {
	return network(r, a, func(p *proxy.Proxy) { p.Hold(proxy.ToClient) }, lost(proxy.ToClient))
}

func loseRequests(r *round, a *act) error {
	return network(r, a, func(p *proxy.Proxy) { p.Hold(proxy.ToServer) }, lost(proxy.ToServer))
}

func lateRequests(r *round, a *act) error {
	return network(r, a, func(p *proxy.Proxy) { p.Hold(proxy.ToServer) }, func(p *proxy.Proxy) { p.Release(proxy.ToServer) })
}

func slowAnswers(r *round, a *act) error {
	f, victims := r.hitSome(a)
	d := pick(a.rand, 20*ms, 200*ms, r.slowest(), 2*time.Second)
	for _, m := range victims {
		m.each(func(p *proxy.Proxy) { p.Delay(proxy.ToClient, d) })
	}
	r.wait(a)
	for _, m := range victims {
		m.heal()
	}
	r.end(f)
	return nil
}

// slowest is what a renewal just bears: it has two answers to wait for, and is given up after a sixth of the TTL.
func (r *round) slowest() time.Duration { return r.plan.TTL / 16 }

// orphans has requests arrive when who sent them has made new connections.
func orphans(r *round, a *act) error {
	f, victims := r.hitSome(a)
	for until := time.Now().Add(a.lasts); time.Now().Before(until) && r.ctx.Err() == nil; {
		for _, m := range victims {
			m.each(func(p *proxy.Proxy) { p.Hold(proxy.ToServer) })
		}
		sleep(r.ctx, 50*ms+upTo(a.rand, 300*ms))
		late := 500*ms + upTo(a.rand, 1500*ms)
		for _, m := range victims {
			m.each(func(p *proxy.Proxy) {
				p.Orphan(late)
				p.Release(proxy.ToServer)
			})
		}
		sleep(r.ctx, 300*ms+upTo(a.rand, time.Second))
	}
	r.end(f)
	return nil
}

// fade slows the answers to all clients as far as renewals bear it, and then lets no request through: who counts from the answers counts
// wrongly then.
func fade(r *round, a *act) error {
	f := a.begin()
	f.Server = true
	for _, m := range r.crew {
		m.each(func(p *proxy.Proxy) { p.Delay(proxy.ToClient, r.slowest()) })
	}
	slow := r.plan.TTL/2 + upTo(a.rand, r.plan.TTL/2)
	sleep(r.ctx, slow)
	began := time.Now()
	for _, m := range r.crew { // one after the other: their renewals may go in step
		m.each(func(p *proxy.Proxy) { p.Hold(proxy.ToServer) })
		sleep(r.ctx, upTo(a.rand, r.plan.TTL/9))
	}
	sleep(r.ctx, a.lasts-slow-time.Since(began))
	for _, m := range r.crew {
		m.heal()
	}
	r.end(f)
	return nil
}

// slowResets loses answers, and is slow to tell what became of the requests; half of the time to everybody.
func slowResets(r *round, a *act) error {
	f, victims := r.hitSome(a)
	d := pick(a.rand, 50*ms, 100*ms, 200*ms)
	for _, m := range victims {
		m.each(func(p *proxy.Proxy) { p.Delay(proxy.ToClient, d) })
	}
	for until := time.Now().Add(a.lasts); time.Now().Before(until) && r.ctx.Err() == nil; {
		sleep(r.ctx, d+upTo(a.rand, 4*d))
		pick(a.rand, victims...).lose()
	}
	for _, m := range victims {
		m.heal()
	}
	r.end(f)
	return nil
}

func resets(r *round, a *act) error {
	f, m := r.hit(a)
	for until := time.Now().Add(a.lasts); time.Now().Before(until) && r.ctx.Err() == nil; {
		m.lose()
		sleep(r.ctx, 20*ms+upTo(a.rand, 300*ms))
	}
	r.end(f)
	return nil
}
