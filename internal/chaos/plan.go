package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
)

// A Plan says what a round is like: some servers, some clients, and what goes wrong.
type Plan struct {
	Workload  string
	Members   int
	Clients   int
	Workers   int // goroutines of each client
	Names     int // of locks; one of them is wanted by all
	TTL       time.Duration
	Margin    time.Duration // 0: the session's default
	Latency   time.Duration // of all answers
	Pause     time.Duration // between two acquisitions of a worker, on average
	Hold      time.Duration // how long long holds last, about
	Long      int           // how many holds of a hundred are long
	Faults    time.Duration // for how long there are faults
	Gap       time.Duration // between two faults of a lane, at most
	Kinds     []string      // of faults; none: all
	FullDisk  bool          // on a small disk, that is filled
	Patience  time.Duration // how long anybody waits for a lock, at most; 0: it differs
	ByContext bool          // all holders trust the context alone, not a third of them
	LeastOps  float64       // acquisitions a second without faults, or the round is not valid

	// Discard keeps nothing of a round that failed.
	Discard bool

	// ClientProgram is what the clients run; "" is this program.
	ClientProgram string
}

// DefaultPlan is a round on one server.
func DefaultPlan(workload string) Plan {
	return Plan{
		Workload: workload, Members: 1, Clients: 6, Workers: 4, Names: 17,
		TTL: 2 * time.Second, Margin: 300 * time.Millisecond,
		Pause: 40 * time.Millisecond, Hold: 2 * time.Second, Long: 8,
		Faults: 45 * time.Second, Gap: 3 * time.Second, LeastOps: 5,
	}
}

// OnCluster is the round on three servers. Leases live longer there, since a leader that was cut off may still renew them for a while.
func (p Plan) OnCluster() Plan {
	p.Members, p.TTL, p.Margin = 3, 4*time.Second, 0
	p.LeastOps = 2
	return p
}

const (
	warmUp   = 3 * time.Second
	settled  = time.Second // after the last fault, before what is left is looked at
	slack    = 2 * time.Second
	progress = 5 * time.Second // and a TTL: there must be some by then
)

// calm is how long a round goes on without faults at its end.
func (p Plan) calm() time.Duration { return p.TTL + progress + slack }

// Length is about how long a round takes.
func (p Plan) Length() time.Duration { return warmUp + p.Faults + p.calm() + p.TTL }

// Fit has the round last about that long.
func (p Plan) Fit(length time.Duration) Plan {
	p.Faults = max(p.Faults+length-p.Length(), 5*time.Second)
	return p
}

func (p Plan) check() error {
	var errs []error
	if _, err := NewWorkload(p.Workload); err != nil {
		errs = append(errs, err)
	}
	if p.Members != 1 && p.Members != 3 {
		errs = append(errs, fmt.Errorf("%d members: 1 or 3", p.Members))
	}
	if p.Clients < 1 || p.Workers < 1 || p.Names < 1 {
		errs = append(errs, errors.New("clients, workers, names: at least 1 of each"))
	}
	known := Kinds()
	for _, k := range p.Kinds {
		if !slices.Contains(known, k) {
			errs = append(errs, fmt.Errorf("no fault %q; there are: %s", k, strings.Join(known, "; ")))
		}
	}
	return errors.Join(errs...)
}

func (p Plan) setup(seed uint64) *history.Setup {
	margin := p.Margin
	if margin == 0 {
		margin = p.TTL/100 + 1100*time.Millisecond
	}
	return &history.Setup{
		Workload: p.Workload, Seed: seed, Members: p.Members, Clients: p.Clients,
		TTL: p.TTL, Margin: margin, Cleanup: cleanup,
	}
}

// A Result is what came of a round.
type Result struct {
	*check.Verdict
	Seed    uint64
	Dir     string         // where all of it is, if it was kept
	Faults  map[string]int // of each kind
	Began   history.Time
	Took    time.Duration
	Invalid []string // why it proves nothing
}
