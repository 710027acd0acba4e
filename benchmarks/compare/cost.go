package main

import (
	"context"
	"math"
	"time"
)

// cost is what was used up to some time.
type cost struct {
	at      time.Time
	sent    float64 // messages
	clients float64 // CPU, in seconds, as the others; NaN where that can't be told
	server  float64
	machine float64 // all of it, other processes included
}

// cost is what m has cost so far, and this process and the own server.
func (b *bench) cost(m *meeting) cost {
	c := cost{
		at: time.Now(), sent: float64(m.traffic.sent.Load()),
		clients: inSeconds(cpuTime()), server: math.NaN(), machine: inSeconds(busyTime()),
	}
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

// addTo adds what each of n acquisitions has cost since before, and what others did meanwhile.
func (c cost) addTo(s sample, before cost, n int) {
	clients, server := c.clients-before.clients, c.server-before.server
	s[sent], s[cpuClients], s[cpuServer] = (c.sent-before.sent)/float64(n), clients/float64(n), server/float64(n)
	s[others] = max(0, c.machine-before.machine-clients-server) / c.at.Sub(before.at).Seconds()
}
