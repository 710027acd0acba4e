package sim

import (
	"testing"
	"time"
)

// control is a run that must go wrong: a simulation that finds nothing there is worth nothing.
type control struct {
	name string
	plan plan
	want string // what has to be found, within so many seeds
}

const within = 40

// slowNodes have clocks that are slower than etcd's by share.
func slowNodes(share float64) func(*world, string) float64 {
	return func(*world, string) float64 { return 1 - share }
}

var controls = []control{
	{"clocks that differ in rate by more than the margin allows", plan{
		rate: slowNodes(0.25), faults: []string{"partition", "requests lost"},
	}, "two"},
	{"no margin, and a leader that goes on renewing when it is none any more, in the term of the next", plan{
		oneTerm: true, margin: time.Nanosecond, ttl: 5 * time.Second, faults: []string{"transfer"}, every: 10 * time.Second, rate: slowNodes(0),
	}, "two"},
	{"machines whose clocks forget the time in which they were suspended", plan{forgets: true, faults: []string{"suspend"}}, "two"},
	{"watches that tell nothing", plan{deaf: true, faults: []string{"revoke"}}, "no progress"},
}

// TestControls: what is known to be unsafe is found.
func TestControls(t *testing.T) {
	for _, c := range controls {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= within; seed++ {
				c.plan.seed, c.plan.length, c.plan.nodes, c.plan.names = seed, each, 4, 1
				if out := run(t, c.plan); out.has(c.want) {
					t.Logf("found by seed %d: %s", seed, out.wrong[0])
					return
				}
			}
			t.Errorf("%d seeds have not found it", within)
		})
	}
}

// TestWithinTheMargin: the same with what the margin is for finds nothing.
func TestWithinTheMargin(t *testing.T) {
	for _, c := range []control{
		{"clocks that differ in rate by 1 %", plan{rate: slowNodes(0.01), faults: []string{"partition", "requests lost"}}, ""},
		{"a leader that goes on renewing", plan{ttl: 5 * time.Second, faults: []string{"transfer"}, every: 10 * time.Second, rate: slowNodes(0.01)}, ""},
		{"a leader that goes on renewing, and no margin", plan{
			margin: time.Nanosecond, ttl: 5 * time.Second, faults: []string{"transfer"}, every: 10 * time.Second, rate: slowNodes(0),
		}, ""},
		{"suspended machines", plan{faults: []string{"suspend"}}, ""},
		{"no margin, clocks alike, and no change of leader: trust counts from the sending", plan{
			margin: time.Nanosecond, ttl: 12 * time.Second, long: 0.8, rate: slowNodes(0), every: 2 * time.Second, faults: []string{"slow", "requests lost", "answers lost", "partition"},
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= few/2; seed++ {
				c.plan.seed, c.plan.length, c.plan.nodes, c.plan.names = seed, each, 4, 1
				report(t, run(t, c.plan))
			}
		})
	}
}
