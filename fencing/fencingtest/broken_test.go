package fencingtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

// A flaw is one thing that a toy guard does wrong.
type flaw struct {
	name string
	by   []string // properties that must fail

	smaller   func(t, u fencing.Token) bool // how tokens are compared
	name2key  func(resource string) string
	oneNumber bool // of both modes
	blindSeal bool // a shared Seal is not remembered
	raising   bool // CheckRead remembers
	sharing   bool // Check admits shared claims
	lowering  bool // the last token counts, not the largest
	early     bool // remembers before it refuses
	gap       bool // between the comparison and what it is for
	forgets   bool // when it is reopened
	caches    bool // what it has seen, beside the store
	noSeen    bool // the StaleError says nothing
	noModes   bool // shared claims are treated as exclusive ones
	lax       func(ctx context.Context) (fencing.Claim, error)
	deaf      bool // goes on when ctx has ended
	unchecked bool // Write does not check
	silent    bool // Write does not remember
}

func byString(t, u fencing.Token) bool   { return t.String() < u.String() }
func byRevision(t, u fencing.Token) bool { a, _ := t.Int64(); b, _ := u.Int64(); return a < b }
func orEqual(t, u fencing.Token) bool    { return t.Compare(u) <= 0 }

// firstClaim takes any claim that it finds.
func firstClaim(ctx context.Context) (fencing.Claim, error) {
	if all := fencing.Claims(ctx); len(all) > 0 {
		return all[0].Bind(nil), nil
	}
	return fencing.Claim{}, fencing.ErrNoClaim
}

// noClaimPasses takes no claim for a good one.
func noClaimPasses(ctx context.Context) (fencing.Claim, error) {
	c, err := fencing.FromContext(ctx)
	if errors.Is(err, fencing.ErrNoClaim) {
		return fencing.Claim{Resource: "nobody", Token: fencing.FromRevision(1)}, nil
	}
	return c, err
}

var flaws = []flaw{
	{name: "none"},
	{name: "compares texts", smaller: byString, by: []string{"order", "tokens", "write"}},
	{name: "compares revisions", smaller: byRevision, by: []string{"tokens"}},
	{name: "refuses equal tokens", smaller: orEqual, by: []string{"order", "tokens", "modes", "write"}},
	{name: "folds case", name2key: strings.ToLower, by: []string{"names"}},
	{name: "trims space", name2key: strings.TrimSpace, by: []string{"names"}},
	{name: "cuts long names", name2key: func(s string) string { return s[:min(len(s), 255)] }, by: []string{"names"}},
	{name: "one number for both modes", oneNumber: true, by: []string{"modes"}},
	{name: "forgets that readers sealed", blindSeal: true, by: []string{"modes"}},
	{name: "reads count", raising: true, by: []string{"order"}},
	{name: "readers write", sharing: true, by: []string{"modes", "write"}},
	{name: "readers have an order", noModes: true, by: []string{"modes"}},
	{name: "the last token counts", lowering: true, by: []string{"modes"}},
	{name: "remembers what it refuses", early: true, by: []string{"modes"}},
	{name: "check and write are two steps", gap: true, by: []string{"racing writes", "seal"}},
	{name: "forgets", forgets: true, by: []string{"reopened", "two gates"}},
	{name: "caches", caches: true, by: []string{"two gates"}},
	{name: "says nothing", noSeen: true, by: []string{"order", "tokens", "modes", "names", "write"}},
	{name: "takes any claim", lax: firstClaim, by: []string{"failing closed", "write"}},
	{name: "needs no claim", lax: noClaimPasses, by: []string{"failing closed", "write"}},
	{name: "goes on after ctx", deaf: true, by: []string{"failing closed", "write"}},
	{name: "writes without a check", unchecked: true, by: []string{"write", "racing writes"}},
	{name: "writes without remembering", silent: true, by: []string{"write"}},
}

// TestBrokenGuardsFail: each flaw is noticed, by the properties that it is about, and a guard without one passes.
func TestBrokenGuardsFail(t *testing.T) {
	for _, f := range flaws {
		t.Run(f.name, func(t *testing.T) {
			for _, p := range properties {
				must := slices.Contains(f.by, p.name)
				got := failure(t, p, f)
				for tries := 1; must && got == "" && f.gap && tries < 10; tries++ {
					got = failure(t, p, f) // a race takes luck
				}
				if must && got == "" {
					t.Errorf("%q passes", p.name)
				}
				if len(f.by) == 0 && got != "" {
					t.Errorf("a sound guard fails %q: %s", p.name, got)
				}
			}
		})
	}
}

// failure is how a guard with f fails p, "" if it doesn't.
func failure(t *testing.T, p property, f flaw) string {
	t.Helper()
	fake := &fakeT{TB: t}
	return fake.failure(func() { p.test(fake, newToy(f)) })
}

// A toy is a guard with a flaw.
type toy struct {
	flaw
	mu    *sync.Mutex
	seen  map[string]*model // the store
	own   map[string]*model // what caches would have
	value *string
	reads *int // of value
}

func newToy(f flaw) Guard {
	t := toy{flaw: f, mu: new(sync.Mutex), seen: map[string]*model{}, own: map[string]*model{}, value: new(string), reads: new(int)}
	return Guard{Gate: t, Reopen: t.reopen, Write: t.Write, Read: t.Read}
}

func (t toy) reopen() fencing.Gate {
	if t.forgets {
		t.seen = map[string]*model{}
	}
	t.own = map[string]*model{}
	return t
}

func (t toy) Check(ctx context.Context) error     { return t.ask(ctx, check, func() {}) }
func (t toy) CheckRead(ctx context.Context) error { return t.ask(ctx, checkRead, func() {}) }
func (t toy) Seal(ctx context.Context) error      { return t.ask(ctx, seal, func() {}) }

func (t toy) Read(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.reads++
	return *t.value, nil
}

func (t toy) Write(ctx context.Context, value string) error {
	m := check
	if t.silent {
		m = checkRead
	}
	err := t.ask(ctx, m, func() { *t.value = value })
	if t.unchecked && errors.Is(err, fencing.ErrStale) {
		t.mu.Lock()
		defer t.mu.Unlock()
		*t.value = value
		return nil
	}
	return err
}

func (t toy) ask(ctx context.Context, m method, act func()) error {
	claim := fencing.FromContext
	if t.lax != nil {
		claim = t.lax
	}
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	if ctx != nil && ctx.Err() != nil && !t.deaf {
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.at(c.Resource)
	if t.early {
		at.remember(c, t.flaw)
	}
	if c.Mode == fencing.Shared && m.name == check.name && !t.sharing {
		return fencing.ErrShared
	}
	if err := t.compare(at, c); err != nil {
		return err
	}
	if m.name != checkRead.name || t.raising {
		at.remember(c, t.flaw)
	}
	if t.gap {
		t.pause()
	}
	act()
	return nil
}

// pause is as a slow request, for every other one: it ends some time after somebody has read the value, which is when it hurts.
func (t toy) pause() {
	if rand.IntN(2) == 0 {
		return
	}
	until := *t.reads + 1 + rand.IntN(4)
	for n := 0; n < 1000 && *t.reads < until; n++ {
		t.mu.Unlock()
		runtime.Gosched()
		t.mu.Lock()
	}
}

func (t toy) at(name string) *model {
	if t.name2key != nil {
		name = t.name2key(name)
	}
	cells := t.seen
	if t.caches {
		cells = t.own
		if cells[name] == nil && t.seen[name] != nil {
			cells[name] = new(*t.seen[name])
		}
	}
	if cells[name] == nil {
		cells[name] = &model{}
		t.seen[name] = cells[name]
	}
	return cells[name]
}

func (t toy) compare(at *model, c fencing.Claim) error {
	smaller := t.smaller
	if smaller == nil {
		smaller = func(t, u fencing.Token) bool { return t.Compare(u) < 0 }
	}
	for mode, seen := range []fencing.Token{at.exclusive, at.shared} {
		counts := c.Mode == fencing.Exclusive || fencing.Mode(mode) == fencing.Exclusive || t.noModes
		if counts && !seen.IsZero() && smaller(c.Token, seen) {
			if t.noSeen {
				return fencing.ErrStale
			}
			return &fencing.StaleError{Resource: c.Resource, Seen: seen, Presented: c.Token}
		}
	}
	return nil
}

func (m *model) remember(c fencing.Claim, f flaw) {
	number := &m.exclusive
	if c.Mode == fencing.Shared && !f.oneNumber {
		number = &m.shared
	}
	if c.Mode == fencing.Shared && f.blindSeal {
		return
	}
	if f.lowering || c.Token.Compare(*number) > 0 {
		*number = c.Token
	}
}

// fakeT is a test that may fail.
type fakeT struct {
	testing.TB
	mu   sync.Mutex
	text string
}

func (*fakeT) Helper()             {}
func (*fakeT) Logf(string, ...any) {}

func (f *fakeT) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text != ""
}

func (f *fakeT) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text == "" {
		f.text = fmt.Sprintf(format, args...)
	}
}

func (f *fakeT) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// failure is how act fails f, "" if it doesn't.
func (f *fakeT) failure(act func()) string {
	done := make(chan struct{})
	go func() {
		defer close(done)
		act()
	}()
	<-done
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text
}
