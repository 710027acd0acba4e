package main

import (
	"context"
	"fmt"
)

// scenario is something that is measured of each system, one after the other.
type scenario struct {
	name     string // for --only
	title    string
	long     bool // --quick leaves it out
	measures []measure
	// run measures one system, in less than a few minutes.
	run func(ctx context.Context, b *bench, system string) (sample, error)
}

// sample is what one run measured, by the key of the measure. What is missing was not measured of that system.
type sample map[string]float64

// measure is one figure of a scenario.
type measure struct {
	key   string
	title string
	unit  unit
	goal  *goal // nil: it is just told
}

type unit string

const (
	seconds   unit = "s"
	perSecond unit = "/s"
	count     unit = ""
	index     unit = "index" // between 0 and 1
	cores     unit = "cores" // of processors; there is no ratio of them
)

// The keys of measures.
const (
	pairP50    = "pair_p50"
	pairP99    = "pair_p99"
	rate       = "rate"
	overP50    = "hand_over_p50"
	overP99    = "hand_over_p99"
	fairness   = "fairness"
	park       = "park"
	refused    = "refused"
	ghosts     = "ghosts"
	sent       = "sent"
	cpuClients = "cpu_clients"
	cpuServer  = "cpu_server"
	others     = "others"
)

// costs are what each acquisition costs, and how much the machine was disturbed.
func costs() []measure {
	return []measure{
		{sent, "requests for each", count, nil},
		{cpuClients, "CPU for each, clients", seconds, nil},
		{cpuServer, "CPU for each, server", seconds, nil},
		{others, "used by other processes", cores, nil},
	}
}

// scenarios are all there are, in the order in which they run.
func scenarios() []scenario {
	l := locks()
	return []scenario{
		uncontended("lock-uncontended", l, atMost(1.1)),
		contended("lock-contended-2", l, 2, atLeast(20)),
		contended("lock-contended-8", l, 8, atLeast(6)),
		contended("lock-contended-64", l, 64, atLeast(1.4)),
		parked("lock-parked-10", l, 10, nil, nil),
		parked("lock-parked-1000", l, 1000, nil, nil),
		parked("lock-parked-5000", l, 5000, atLeast(12), steady("lock-parked-10")),
		parked("lock-parked-10000", l, 10000, atLeast(25), steady("lock-parked-10")),
	}
}

func uncontended(name string, systems map[string]exclusive, pair *goal) scenario {
	return scenario{
		name: name, title: "nobody else wants it",
		measures: append([]measure{
			{pairP50, "acquire and release, p50", seconds, pair},
			{pairP99, "p99", seconds, nil},
		}, costs()...),
		run: func(ctx context.Context, b *bench, system string) (sample, error) {
			return b.pairs(ctx, systems[system])
		},
	}
}

func contended(name string, systems map[string]exclusive, n int, rates *goal) scenario {
	return scenario{
		name: name, title: fmt.Sprintf("%d contenders", n),
		measures: append([]measure{
			{rate, "acquisitions", perSecond, rates},
			{overP50, "hand-over, p50", seconds, nil},
			{overP99, "p99", seconds, nil},
			{fairness, "fairness (Jain)", index, nil},
		}, costs()...),
		run: func(ctx context.Context, b *bench, system string) (sample, error) {
			return b.contend(ctx, systems[system], n)
		},
	}
}

func parked(name string, systems map[string]exclusive, n int, rates, p50 *goal) scenario {
	return scenario{
		name: name, title: fmt.Sprintf("%d waiters", n), long: n > 1000,
		measures: append([]measure{
			{park, "until all stand in line", seconds, nil},
			{refused, "refused", count, none()},
			{ghosts, "ghosts", count, none()},
			{rate, "hand-overs", perSecond, rates},
			{overP50, "hand-over, p50", seconds, p50},
			{overP99, "p99", seconds, nil},
		}, costs()...),
		run: func(ctx context.Context, b *bench, system string) (sample, error) {
			return b.park(ctx, systems[system], n)
		},
	}
}
