package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// A Soak is rounds after rounds, until the time is over.
type Soak struct {
	Tools    *Tools
	Duration time.Duration
	Seed     uint64
	Workload string // "" takes turns
	Members  int    // 0 takes turns
	Out      io.Writer
}

// roundTime is about how long a round takes.
const roundTime = time.Minute

// Run goes on until the time is over, or until a round fails.
func (s *Soak) Run(ctx context.Context) (*Total, error) {
	tell(s.Out, "seed %d, for %v\n", s.Seed, s.Duration)
	for what, why := range map[string]error{"slow disks": s.Tools.NoSlow, "full disks": s.Tools.NoFull} {
		if why != nil {
			tell(s.Out, "no %s on this machine: %v\n", what, why)
		}
	}
	total, began := &Total{}, time.Now()
	screen := startScreen(s.Out, s.Tools, began)
	defer screen.stop()
	r := rand.New(rand.NewPCG(s.Seed, 0))
	for i := 0; ; i++ {
		left := s.Duration - time.Since(began)
		plan := s.plan(i, r)
		seed := r.Uint64() >> 32
		if i > 0 && left < plan.Length()/2 {
			break
		}
		if left < 2*roundTime {
			plan = plan.Fit(left)
		}
		screen.next(i+1, total)
		res, err := s.Tools.Run(ctx, plan, seed)
		total.Took = time.Since(began)
		if err != nil {
			return total, fmt.Errorf("round %d, seed %d: %w", i+1, seed, err)
		}
		total.Add(res)
		if ctx.Err() != nil || total.Code() == 1 {
			break
		}
	}
	return total, context.Cause(ctx)
}

// plan is what the next round is like.
func (s *Soak) plan(i int, r *rand.Rand) Plan {
	work := s.Workload
	if work == "" {
		work = [...]string{"all", "lock", "session"}[i%3]
	}
	p := DefaultPlan(work)
	p.Names, p.Latency = pick(r, 9, 17, 33, 65), pick(r, 0, 0, 0, 5*ms, 50*ms)
	p.FullDisk = s.Tools.NoFull == nil && r.IntN(3) == 0
	if s.Members == 3 || s.Members == 0 && i%2 == 1 {
		p = p.OnCluster()
	}
	return p.Fit(roundTime)
}

// ErrViolated and ErrInvalid are what a run ends with that did not pass.
var (
	ErrViolated = errors.New("promises were not kept")
	ErrInvalid  = errors.New("the run proves nothing")
)
