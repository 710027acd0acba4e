package chaos

import (
	"context"
	"errors"
	"time"

	"github.com/stile-dev/stile/internal/proxy"
)

func several(m machine) bool { return m.members > 1 }

// anyMember is the leader half of the time.
func (r *round) anyMember(a *act) *member {
	if len(r.cluster.members) > 1 && a.rand.IntN(2) == 0 {
		return r.cluster.leader(r.alive)
	}
	return pick(a.rand, r.cluster.members...)
}

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
	f.Server, f.Stale = true, len(r.cluster.members) > 1
	err := m.process().pause()
	r.wait(a)
	err = errors.Join(err, m.process().resume())
	r.end(f)
	return err
}

func slowDisk(r *round, a *act) error {
	f := a.begin()
	f.Server, f.Stale = true, len(r.cluster.members) > 1
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

func moveLeader(r *round, a *act) error {
	f := a.begin()
	f.Server = true
	ctx, cancel := context.WithTimeout(r.alive, requestLimit)
	defer cancel()
	if err := r.cluster.moveLeader(ctx, a); err != nil {
		f.Note = err.Error()
	}
	r.end(f)
	return nil
}

// moveLeader has the leader hand over to another member.
func (c *cluster) moveLeader(ctx context.Context, a *act) error {
	leader := c.leader(ctx)
	to := pick(a.rand, c.members...)
	st, err := c.admin.etcd.Status(ctx, to.endpoint)
	if err != nil {
		return err
	}
	client, err := connect(leader.endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.MoveLeader(ctx, st.Header.MemberId)
	return err
}

// cuts is a fault of the network between the members.
func cuts(r *round, a *act, cut func(n *proxy.Network)) error {
	f := a.begin()
	f.Server = true
	cut(r.cluster.network)
	r.wait(a)
	r.cluster.network.Mend()
	r.end(f)
	return nil
}

// cutOff cuts one member off from the others. Clients reach it.
func cutOff(r *round, a *act) error {
	m := r.anyMember(a)
	return cuts(r, a, func(n *proxy.Network) {
		for _, other := range r.cluster.members {
			n.Cut(m.number, other.number)
			n.Cut(other.number, m.number)
		}
	})
}

// cutWay loses what one member sends to another, which goes on to reach it.
func cutWay(r *round, a *act) error {
	from, to := r.anyMember(a), pick(a.rand, r.cluster.members...)
	return cuts(r, a, func(n *proxy.Network) { n.Cut(from.number, to.number) })
}

// deaf loses what is sent to a member by all others.
func deaf(r *round, a *act) error {
	m := r.anyMember(a)
	return cuts(r, a, func(n *proxy.Network) {
		for _, other := range r.cluster.members {
			n.Cut(other.number, m.number)
		}
	})
}

// noQuorum cuts all off from each other.
func noQuorum(r *round, a *act) error {
	return cuts(r, a, func(n *proxy.Network) {
		for _, from := range r.cluster.members {
			for _, to := range r.cluster.members {
				n.Cut(from.number, to.number)
			}
		}
	})
}
