package main

import (
	"context"
	"math"
	"time"
)

// cost is what was used up to some time.
type cost struct {
	sent            float64 // messages
	clients, server float64 // CPU, in seconds; NaN where that can't be told
}

// cost is what m has cost so far, and this process and the own server.
func (b *bench) cost(m *meeting) cost {
	c := cost{sent: float64(m.traffic.sent.Load()), clients: inSeconds(cpuTime()), server: math.NaN()}
	if b.own != nil {
		c.server = inSeconds(b.own.cpuTime())
	}
	return c
}

func inSeconds(d time.Duration) float64 {
	if d < 0 {
		return math.NaN()
	}
	return d.Seconds()
}

// costAt waits until then, or until ctx ends.
func (b *bench) costAt(ctx context.Context, m *meeting, then time.Time) cost {
	t := time.NewTimer(time.Until(then))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return b.cost(m)
}

func (c cost) since(before cost) cost {
	return cost{c.sent - before.sent, c.clients - before.clients, c.server - before.server}
}

// addTo adds the cost of each of n acquisitions.
func (c cost) addTo(s sample, n int) {
	s[sent], s[cpuClients], s[cpuServer] = c.sent/float64(n), c.clients/float64(n), c.server/float64(n)
}
