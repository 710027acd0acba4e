package chaos

import (
	"errors"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

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
