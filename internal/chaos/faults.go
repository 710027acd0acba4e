package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/internal/proxy"
)

const ms = time.Millisecond

// kinds are all faults there are. Those that last as long as a lease does are given for one of a second.
var kinds = []*kind{
	{name: "server killed", lane: laneServer, weight: 3, least: 0, most: 3 * time.Second, inflict: killServer},
	{name: "server stopped and started", lane: laneServer, weight: 1, least: 0, most: time.Second, inflict: restartServer},
	{name: "server killed again and again", lane: laneServer, weight: 1, least: 2 * time.Second, most: 4 * time.Second, inflict: killServerOften},
	{name: "server paused", lane: laneServer, weight: 3, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: pauseServer},
	{
		name: "slow disk", lane: laneServer, weight: 2, least: 2 * time.Second, most: 6 * time.Second, inflict: slowDisk,
		needs: func(m machine) bool { return m.slowDisk && !m.smallDisk },
	},
	{
		name: "full disk", lane: laneServer, weight: 3, least: time.Second, most: 4 * time.Second, inflict: fullDisk,
		needs: func(m machine) bool { return m.smallDisk },
	},

	{name: check.KindKill, lane: laneClient, weight: 4, least: 0, most: 2 * time.Second, inflict: killClient},
	{name: "client killed again and again", lane: laneClient, weight: 1, least: time.Second, most: 3 * time.Second, inflict: killClientOften},
	{name: "client paused", lane: laneClient, weight: 4, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: pauseClient},

	{name: "partition", lane: laneNetwork, weight: 3, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: partition},
	{name: "partition, connections lost", lane: laneNetwork, weight: 3, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: silence},
	{name: "answers lost", lane: laneNetwork, weight: 3, least: 100 * ms, most: 2000 * ms, inTTLs: true, inflict: loseAnswers},
	{name: "requests lost", lane: laneNetwork, weight: 2, least: 100 * ms, most: 2000 * ms, inTTLs: true, inflict: loseRequests},
	{name: "requests late", lane: laneNetwork, weight: 3, least: 100 * ms, most: 2000 * ms, inTTLs: true, inflict: lateRequests},
	{name: "answers slow", lane: laneNetwork, weight: 2, least: time.Second, most: 5 * time.Second, inflict: slowAnswers},
	{name: "requests late, on lost connections", lane: laneNetwork, weight: 4, least: 500 * ms, most: 3 * time.Second, inflict: orphans},
	{name: "answers slow, then none", lane: laneNetwork, weight: 2, least: 2000 * ms, most: 3000 * ms, inTTLs: true, inflict: fade},
	{name: "answers slow, connections reset", lane: laneNetwork, weight: 2, least: time.Second, most: 5 * time.Second, inflict: slowResets},
	{name: "connections reset", lane: laneNetwork, weight: 2, least: 200 * ms, most: 3 * time.Second, inflict: resets},

	{name: "lease revoked", lane: laneOperator, weight: 2, inflict: revoke},
	{name: "key deleted", lane: laneOperator, weight: 2, inflict: deleteKey},
	{name: "waiter removed", lane: laneOperator, weight: 2, inflict: removeWaiter},
	{name: "compaction", lane: laneOperator, weight: 3, least: time.Second, most: 6 * time.Second, inflict: compactOften},
	{name: "defragmentation", lane: laneOperator, weight: 1, inflict: defragment},
}

// Kinds are the names of all faults.
func Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// wait lasts as long as the fault.
func (r *round) wait(a *act) { sleep(r.ctx, a.lasts) }

// begin is the record of a fault that begins now.
func (a *act) begin() *history.Fault {
	return &history.Fault{Kind: a.kind.name, From: history.Now()}
}

// end records a fault, when it is over.
func (r *round) end(f *history.Fault) {
	f.To = history.Now()
	r.out.Write(history.Record{Fault: f})
	r.count(f.Kind)
}

func (r *round) anyMember(a *act) *member { return pick(a.rand, r.cluster.members...) }

func killServer(r *round, a *act) error {
	f, m := a.begin(), r.anyMember(a)
	f.Server = true
	m.process().kill()
	r.wait(a)
	err := m.start(r.alive)
	r.end(f)
	return err
}

func restartServer(r *round, a *act) error {
	f, m := a.begin(), r.anyMember(a)
	f.Server = true
	p := m.process()
	_ = p.stop(startTime, func() error { return ask(p.cmd.Process) }) // it may have a bad end: what counts is that it starts again
	r.wait(a)
	err := m.start(r.alive)
	r.end(f)
	return err
}

func killServerOften(r *round, a *act) error {
	f, m := a.begin(), r.anyMember(a)
	f.Server = true
	var err error
	for until := time.Now().Add(a.lasts); err == nil && time.Now().Before(until); {
		m.process().kill()
		err = m.start(r.alive)
		sleep(r.ctx, upTo(a.rand, 800*ms))
	}
	r.end(f)
	return err
}

func pauseServer(r *round, a *act) error {
	f, m := a.begin(), r.anyMember(a)
	f.Server = true
	err := m.process().pause()
	r.wait(a)
	err = errors.Join(err, m.process().resume())
	r.end(f)
	return err
}

func slowDisk(r *round, a *act) error {
	f := a.begin()
	f.Server = true
	err := r.cluster.slow.limit(1 + a.rand.IntN(5))
	r.wait(a)
	err = errors.Join(err, r.cluster.slow.limit(0))
	r.end(f)
	return err
}

// fullDisk fills the disk. Etcd ends the server then, or doesn't notice.
func fullDisk(r *round, a *act) error {
	f, m := a.begin(), r.anyMember(a)
	f.Server = true
	err := m.disk.fill()
	r.wait(a)
	err = errors.Join(err, m.disk.free())
	if err == nil && m.process().over() {
		f.Note = "it ended the server"
		err = m.start(r.alive)
	}
	r.end(f)
	return err
}

// victim is the client to hit: 3 times in 4 one that holds.
func (r *round) victim(a *act) *crewman {
	if a.rand.IntN(4) > 0 {
		if p, _, ok := r.tap.holder(a.rand); ok && p.client >= 0 {
			return r.crew[p.client]
		}
	}
	return pick(a.rand, r.crew...)
}

// hit is a fault of one client.
func (r *round) hit(a *act) (*history.Fault, *crewman) {
	m := r.victim(a)
	f := a.begin()
	f.Clients = []int{m.cfg.Client}
	return f, m
}

func killClient(r *round, a *act) error {
	f, m := r.hit(a)
	if err := m.kill(); err != nil {
		return err
	}
	f.Keys = r.tap.heldBy(m.cfg.Client)
	r.wait(a)
	err := m.start()
	r.end(f)
	return err
}

func killClientOften(r *round, a *act) error {
	f, m := r.hit(a)
	var err error
	for until := time.Now().Add(a.lasts); err == nil && time.Now().Before(until); {
		if err = m.kill(); err == nil {
			err = m.start()
		}
		sleep(r.ctx, upTo(a.rand, 500*ms))
	}
	r.end(f)
	return err
}

func pauseClient(r *round, a *act) error {
	f, m := r.hit(a)
	p := m.process()
	err := p.pause()
	r.wait(a)
	err = errors.Join(err, p.resume())
	r.end(f)
	return err
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
	d := pick(a.rand, 20*ms, 200*ms, r.slowest(), 2*time.Second)
	return network(r, a, func(p *proxy.Proxy) { p.Delay(proxy.ToClient, d) }, func(p *proxy.Proxy) { p.Delay(proxy.ToClient, 0) })
}

// slowest is what a renewal just bears: a sixth of the TTL, then it is given up.
func (r *round) slowest() time.Duration { return r.plan.TTL / 7 }

// orphans has requests arrive when who sent them has made new connections.
func orphans(r *round, a *act) error {
	f, m := r.hit(a)
	for until := time.Now().Add(a.lasts); time.Now().Before(until) && r.ctx.Err() == nil; {
		m.each(func(p *proxy.Proxy) { p.Hold(proxy.ToServer) })
		sleep(r.ctx, 50*ms+upTo(a.rand, 300*ms))
		m.each(func(p *proxy.Proxy) {
			p.Orphan(300*ms + upTo(a.rand, time.Second))
			p.Release(proxy.ToServer)
		})
		sleep(r.ctx, 300*ms+upTo(a.rand, time.Second))
	}
	r.end(f)
	return nil
}

// fade slows the answers as far as renewals bear it, and then lets none through: who counts from the answers counts wrongly then.
func fade(r *round, a *act) error {
	f, m := r.hit(a)
	m.each(func(p *proxy.Proxy) { p.Delay(proxy.ToClient, r.slowest()) })
	sleep(r.ctx, r.plan.TTL/2+upTo(a.rand, r.plan.TTL/2))
	m.each(func(p *proxy.Proxy) { p.Hold(proxy.ToServer) })
	sleep(r.ctx, a.lasts-r.plan.TTL/2)
	m.heal()
	r.end(f)
	return nil
}

// slowResets loses answers, and is slow to tell what became of the requests.
func slowResets(r *round, a *act) error {
	f, m := r.hit(a)
	d := pick(a.rand, 50*ms, 100*ms, 200*ms)
	m.each(func(p *proxy.Proxy) { p.Delay(proxy.ToClient, d) })
	for until := time.Now().Add(a.lasts); time.Now().Before(until) && r.ctx.Err() == nil; {
		sleep(r.ctx, d+upTo(a.rand, 4*d))
		m.lose()
	}
	m.heal()
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

// operator is what somebody does to a key who may do so, and doesn't ask.
func operator(r *round, a *act, do func(ctx context.Context, f *history.Fault) error) error {
	ctx, cancel := context.WithTimeout(r.alive, requestLimit)
	defer cancel()
	f := a.begin()
	if err := do(ctx, f); err != nil {
		f.Note = err.Error() // the server may be away; then it may have been done, or be done later
	}
	r.end(f)
	return nil
}

func revoke(r *round, a *act) error {
	p, _, ok := r.tap.holder(a.rand)
	if !ok || p.lease == 0 {
		return nil
	}
	return operator(r, a, func(ctx context.Context, f *history.Fault) error {
		f.Breach, f.Lease = true, p.lease
		_, err := r.cluster.admin.etcd.Revoke(ctx, clientv3.LeaseID(p.lease))
		return err
	})
}

func deleteKey(r *round, a *act) error {
	p, w, ok := r.tap.holder(a.rand)
	if !ok {
		return nil
	}
	if a.rand.IntN(4) == 0 {
		p = w
	}
	return operator(r, a, func(ctx context.Context, f *history.Fault) error {
		f.Breach, f.Keys = true, []string{p.key}
		_, err := r.cluster.admin.etcd.Delete(ctx, p.key)
		return err
	})
}

func removeWaiter(r *round, a *act) error {
	holder, p, ok := r.tap.holder(a.rand)
	if !ok || p == holder || !r.inLine {
		return nil
	}
	return operator(r, a, func(ctx context.Context, f *history.Fault) error {
		f.Breach, f.Keys = true, []string{p.key}
		live := clientv3.Compare(clientv3.ModRevision(p.key), "=", p.create)
		put := clientv3.OpPut(p.key, `{"state":"removed"}`, clientv3.WithLease(clientv3.LeaseID(p.lease)))
		_, err := r.cluster.admin.etcd.Txn(ctx).If(live).Then(put).Commit()
		return err
	})
}

func compactOften(r *round, a *act) error {
	f := a.begin()
	for until := time.Now().Add(a.lasts); time.Now().Before(until) && r.ctx.Err() == nil; {
		if rev := r.tap.seen(); rev > 0 {
			if err := r.cluster.admin.compact(r.ctx, rev); err != nil {
				f.Note = fmt.Sprint(err)
			}
		}
		sleep(r.ctx, 100*ms)
	}
	r.end(f)
	return nil
}

func defragment(r *round, a *act) error {
	f := a.begin()
	f.Server = true
	ctx, cancel := context.WithTimeout(r.alive, requestLimit)
	defer cancel()
	if _, err := r.cluster.admin.etcd.Defragment(ctx, r.anyMember(a).endpoint); err != nil {
		f.Note = err.Error()
	}
	r.end(f)
	return nil
}
