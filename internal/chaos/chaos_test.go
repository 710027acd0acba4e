package chaos

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-dev/stile/internal/chaos/mutant"
)

// TestMain is also the main function of the clients and the store that a test starts.
func TestMain(m *testing.M) {
	is, err := Role()
	if err != nil {
		panic(err)
	}
	if !is {
		os.Exit(m.Run())
	}
}

type drawn struct {
	Kind      string
	At, Lasts time.Duration
	Draw      uint64
}

func draw(seed uint64) (all []drawn) {
	m := machine{members: 3, slowDisk: true}
	for _, a := range schedule(seed, DefaultPlan("lock").OnCluster(), m, time.Minute) {
		all = append(all, drawn{a.kind.name, a.at, a.lasts, a.rand.Uint64()})
	}
	return all
}

func TestASeedDrawsTheSameFaultsEachTime(t *testing.T) {
	if diff := cmp.Diff(draw(1), draw(1)); diff != "" {
		t.Errorf("seed 1 once and again:\n%s", diff)
	}
	if cmp.Equal(draw(1), draw(2)) {
		t.Error("seeds 1 and 2 draw the same")
	}
}

func TestFaultsOfALaneFollowEachOther(t *testing.T) {
	until := map[int]time.Duration{}
	for _, a := range schedule(7, DefaultPlan("lock"), machine{members: 1}, time.Minute) {
		if a.at < until[a.kind.lane] {
			t.Errorf("%s begins at %v, while another of its lane goes on until %v", a.kind.name, a.at, until[a.kind.lane])
		}
		until[a.kind.lane] = a.at + a.lasts
		if a.kind.needs != nil {
			t.Errorf("%s was drawn for a machine that can't have it", a.kind.name)
		}
	}
	if len(until) != lanes {
		t.Errorf("faults in %d lanes, want %d", len(until), lanes)
	}
}

func TestKindsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Kinds() {
		if seen[name] {
			t.Errorf("two faults are called %q", name)
		}
		seen[name] = true
	}
}

func TestEachMutantHasAPlan(t *testing.T) {
	all, err := trials()
	if err != nil {
		t.Fatal(err)
	}
	if len(bites) != len(mutant.All) {
		t.Errorf("%d plans for %d mutants", len(bites), len(mutant.All))
	}
	for _, tr := range all {
		if err := tr.plan.check(); err != nil {
			t.Errorf("%s: %v", tr.name, err)
		}
		if tr.plan.Length() > foundWithin {
			t.Errorf("%s: a round takes %v", tr.name, tr.plan.Length())
		}
	}
}

func TestPlansThatCannotBeAreRefused(t *testing.T) {
	p := DefaultPlan("lock")
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	p.Workload, p.Members, p.Clients, p.Kinds = "locks", 2, 0, []string{"earthquake"}
	if err := p.check(); err == nil {
		t.Error("a plan without sense was accepted")
	}
}

// A short round on a real server, from its start to the verdict: with faults, and with something that must be found.
func TestARound(t *testing.T) {
	tools, err := NewTools(t.Context(), t.TempDir(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tools.Close(); err != nil {
			t.Error(err)
		}
	}()
	p := trialPlan("all")
	p.Faults, p.LeastOps = 4*time.Second, 0
	res, err := tools.Run(t.Context(), p, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Violations) > 0 || len(res.Invalid) > 0 {
		t.Errorf("violations %v, invalid %v, see %s", res.Violations, res.Invalid, res.Dir)
	}
	for _, kind := range []string{
		"lock acquire", "lock write", "lock store", "sets acquire", "sets write", "rwlock acquire", "rwlock write", "rwlock read", "rwlock downgrade",
		"semaphore acquire", "semaphore write", "semaphore resize", "election acquire", "election write", "election work", "election observe",
	} {
		if res.Ops[kind] == 0 {
			t.Errorf("no %s", kind)
		}
	}
	if sum(res.Faults) == 0 {
		t.Errorf("faults %v: want some", res.Faults)
	}
}

func TestARunThatIsCalledOffSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tools := &Tools{Dir: t.TempDir(), Self: os.Args[0], Stile: "/bin/false"}
	if res, err := tools.Run(ctx, DefaultPlan("lock"), 1); err == nil {
		t.Errorf("Run = %v, without an error", res)
	}
}
