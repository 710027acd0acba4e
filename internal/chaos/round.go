package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// A round is one run from the start of the servers to the verdict.
type round struct {
	plan    Plan
	seed    uint64
	dir     string
	tools   *Tools
	work    Workload
	inLine  bool // its waiters obey a mark of removal
	out     *history.Writer
	cluster *cluster
	tap     *tap
	crew    []*crewman
	store   *child

	ctx   context.Context // ends with the faults
	alive context.Context // ends with the round
	stop  context.CancelFunc

	mu      sync.Mutex
	faults  map[string]int
	phase   atomic.Pointer[string]
	invalid []string
}

// Tools are what all rounds use.
type Tools struct {
	Dir    string // for everything
	Root   string // of the module
	Stile  string // the command, for the servers
	Self   string // this program, for clients and the store
	slow   *throttle
	NoSlow error // why disks can't be made slow here
	NoFull error // why they can't be filled

	began func(r *round) // told when a round begins
}

// Run runs a round and judges it. An error says that there is no verdict.
func (t *Tools) Run(ctx context.Context, p Plan, seed uint64) (res *Result, err error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	work, err := NewWorkload(p.Workload)
	if err != nil {
		return nil, err
	}
	_, foreign := work.(etcdMutex)
	r := &round{plan: p, seed: seed, tools: t, work: work, inLine: !foreign, faults: map[string]int{}}
	if r.dir, err = os.MkdirTemp(t.Dir, fmt.Sprintf("round-%d-", seed)); err != nil {
		return nil, err
	}
	r.alive, r.stop = context.WithCancel(ctx)
	defer r.stop()
	r.say("starting")
	if t.began != nil {
		t.began(r)
	}
	began := history.Now()
	h, err := r.run()
	if err != nil {
		return nil, fmt.Errorf("%w (see %s)", err, r.dir)
	}
	r.say("judging")
	res = &Result{Verdict: work.Judge(h), Seed: seed, Dir: r.dir, Faults: r.faults, Began: began, Took: history.Now().Sub(began), Invalid: r.invalid}
	return res, r.keep(res, h)
}

func (r *round) say(phase string) { r.phase.Store(&phase) }

// run is the round itself.
func (r *round) run() (h *history.History, err error) {
	if r.out, err = history.Create(filepath.Join(r.dir, "harness"+history.Suffix)); err != nil {
		return nil, err
	}
	r.out.Write(history.Record{Setup: r.plan.setup(r.seed)})
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.start(); err != nil {
		return nil, err
	}
	began := history.Now()
	r.say("warming up")
	sleep(r.alive, warmUp)
	hurt := history.Now()
	if err := r.inflict(); err != nil {
		return nil, err
	}
	healed := history.Now()
	r.say("calm")
	sleep(r.alive, r.plan.calm())
	over := history.Now()
	r.say("stopping")
	var all sync.WaitGroup
	for _, m := range r.crew {
		all.Go(m.stop)
	}
	all.Wait()
	if err := r.alive.Err(); err != nil {
		return nil, err
	}
	keys, leases, err := r.settle()
	if err != nil {
		return nil, err
	}
	if err := r.close(); err != nil {
		return nil, err
	}
	if h, err = history.Read(r.dir); err != nil {
		return nil, err
	}
	h.LeftKeys, h.LeftLeases, h.Until = keys, leases, over
	r.rate(h, "before the faults", began, hurt)
	r.rate(h, "after them", healed, over)
	return h, nil
}

// start starts everything.
func (r *round) start() error {
	p, url, err := startStore(r.alive, r.tools.Self, r.dir)
	if err != nil {
		return err
	}
	r.store = p
	if r.cluster, err = startCluster(r.alive, r.tools.Stile, r.dir, r.plan.Members, r.tools.slow, r.plan.FullDisk); err != nil {
		return err
	}
	r.tap = startTap(r.alive, r.cluster.admin, r.out, r.work)
	program := cmp.Or(r.plan.ClientProgram, r.tools.Self)
	for i := range r.plan.Clients {
		cfg := ClientConfig{
			Who: history.Who{Client: i}, Workload: r.plan.Workload, Seed: r.seed<<20 + uint64(i)<<10, Store: url,
			Names: r.plan.Names, Workers: r.plan.Workers, TTL: r.plan.TTL, Margin: r.plan.Margin,
			Pause: r.plan.Pause, Hold: r.plan.Hold, Long: r.plan.Long, ByContext: r.plan.ByContext,
			Patience: r.plan.Patience,
		}
		m, err := newCrewman(program, r.dir, cfg, r.cluster.endpoints(), r.plan.Latency, r.out)
		if err != nil {
			return err
		}
		r.crew = append(r.crew, m)
	}
	return nil
}

// inflict does what the schedule says, and heals everything.
func (r *round) inflict() error {
	m := machine{members: r.plan.Members, slowDisk: r.tools.NoSlow == nil, smallDisk: r.plan.FullDisk}
	acts := schedule(r.seed, r.plan, m, r.plan.Faults)
	ctx, cancel := context.WithTimeout(r.alive, r.plan.Faults)
	defer cancel()
	r.ctx = ctx
	var byLane [lanes][]*act
	for _, a := range acts {
		byLane[a.kind.lane] = append(byLane[a.kind.lane], a)
	}
	errs := make(chan error, lanes)
	began := time.Now()
	for _, acts := range byLane {
		go func() { errs <- r.lane(acts, began) }()
	}
	var all []error
	for range byLane {
		all = append(all, <-errs)
	}
	sleep(ctx, r.plan.Faults) // what is left of it
	for _, m := range r.crew {
		m.heal()
	}
	return errors.Join(all...)
}

func (r *round) lane(acts []*act, began time.Time) error {
	for _, a := range acts {
		if !sleep(r.ctx, time.Until(began.Add(a.at))) {
			return nil
		}
		r.say(a.kind.name)
		if err := a.kind.inflict(r, a); err != nil && r.alive.Err() == nil {
			return fmt.Errorf("%s: %w", a.kind.name, err)
		}
	}
	return nil
}

func (r *round) count(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[kind]++
}

// settle is what is left in etcd after all clients, once the tap has heard everything.
func (r *round) settle() (keys []string, leases int, err error) {
	r.say("looking at what is left")
	if leases, err = r.cluster.admin.leases(r.alive, r.plan.TTL+slack); err != nil {
		return nil, 0, fmt.Errorf("look at the leases: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.alive, requestLimit)
	defer cancel()
	root, err := r.work.Tidy(ctx, r.cluster.admin)
	if err != nil {
		return nil, 0, fmt.Errorf("tidy up: %w", err)
	}
	if keys, err = r.cluster.admin.below(r.alive, root); err != nil {
		return nil, 0, fmt.Errorf("look at the keys: %w", err)
	}
	rev, err := r.cluster.admin.revision(r.alive)
	if err != nil {
		return nil, 0, err
	}
	heard, cancel := context.WithTimeout(r.alive, requestLimit)
	defer cancel()
	return keys, leases, r.tap.reach(heard, rev)
}

// rate says that the round is not valid if there was too little done between two times.
func (r *round) rate(h *history.History, when string, from, to history.Time) {
	n := 0
	for _, op := range h.Ops {
		if op.Result == history.OK && (op.Kind == history.Acquire || op.Kind == history.Try) && op.Return >= from && op.Return <= to {
			n++
		}
	}
	if per := float64(n) / to.Sub(from).Seconds(); per < r.plan.LeastOps {
		r.invalid = append(r.invalid, fmt.Sprintf("%.1f acquisitions a second %s, less than %.0f", per, when, r.plan.LeastOps))
	}
}

// close ends everything. Twice is the same as once.
func (r *round) close() error {
	var errs []error
	for _, m := range r.crew {
		errs = append(errs, m.close())
	}
	r.crew = nil
	r.stop()
	if r.tap != nil {
		<-r.tap.done
	}
	if r.cluster != nil {
		errs = append(errs, r.cluster.close())
		r.cluster = nil
	}
	if r.store != nil {
		errs = append(errs, r.store.stop(stopTime, r.store.stdin.Close))
		r.store = nil
	}
	if r.out != nil {
		errs = append(errs, r.out.Close())
		r.out = nil
	}
	return errors.Join(errs...)
}

// keep writes the report of a round that failed, and removes the traces of one that did not, or that nobody wants.
func (r *round) keep(res *Result, h *history.History) error {
	if r.plan.Discard || len(res.Violations) == 0 && len(res.Invalid) == 0 {
		res.Dir = ""
		return os.RemoveAll(r.dir)
	}
	return report(r.dir, res, h)
}
