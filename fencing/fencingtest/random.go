package fencingtest

import (
	"math/rand/v2"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

// steps is how many claims are presented at random, to each of them the answer being known.
const steps = 300

// A model is what the contract says of one resource.
type model struct{ exclusive, shared fencing.Token }

// ask is what a gate does; it returns the tokens that the refusal may name, none if the claim is admitted.
func (m *model) ask(what method, c fencing.Claim) (against []fencing.Token) {
	if c.Token.Compare(m.exclusive) < 0 {
		against = append(against, m.exclusive)
	}
	if c.Mode == fencing.Exclusive && c.Token.Compare(m.shared) < 0 {
		against = append(against, m.shared)
	}
	if len(against) > 0 || what.name == checkRead.name {
		return against
	}
	number := &m.exclusive
	if c.Mode == fencing.Shared {
		number = &m.shared
	}
	if c.Token.Compare(*number) > 0 {
		*number = c.Token
	}
	return nil
}

// A walk presents claims at random.
type walk struct {
	rand   *rand.Rand
	tokens []fencing.Token // in order
	names  []string
	models map[string]*model
}

func newWalk(tb testing.TB) *walk {
	tb.Helper()
	seed := rand.Uint64()
	tb.Logf("seed %d", seed)
	w := &walk{rand: rand.New(rand.NewPCG(seed, 0)), names: []string{resource, "lock/a", "lock/A"}, models: map[string]*model{}}
	for _, text := range tokenOrder {
		w.tokens = append(w.tokens, parse(tb, text))
	}
	for _, name := range w.names {
		w.models[name] = &model{}
	}
	return w
}

// claim's tokens rise with progress, from 0 to 1, so that no early one refuses all the rest.
func (w *walk) claim(progress float64) fencing.Claim {
	top := min(2+int(progress*float64(len(w.tokens))), len(w.tokens))
	return fencing.Claim{
		Resource: w.names[w.rand.IntN(len(w.names))],
		Token:    w.tokens[max(0, top-1-w.rand.IntN(5))],
		Mode:     fencing.Mode(w.rand.IntN(2)),
	}
}

// random: the answers are those of the model.
func random(tb testing.TB, g Guard) {
	tb.Helper()
	w, a := newWalk(tb), asker{tb, g.Gate}
	for i := range steps {
		w.step(a, float64(i)/steps)
		if tb.Failed() {
			tb.Fatalf("after %d steps", i)
		}
	}
}

func (w *walk) step(a asker, progress float64) {
	a.tb.Helper()
	c, m := w.claim(progress), methods[w.rand.IntN(len(methods))]
	if m.name == check.name && c.Mode == fencing.Shared {
		return
	}
	if against := w.models[c.Resource].ask(m, c); len(against) > 0 {
		a.refuses(m, c, against...)
	} else {
		a.admits(m, c)
	}
}

// reopened: what a gate has seen, it has seen after a restart.
func reopened(tb testing.TB, g Guard) {
	tb.Helper()
	w, a := newWalk(tb), asker{tb, g.Gate}
	for i := range steps / 2 {
		if i%10 == 9 {
			a.gate = g.Reopen()
		}
		w.step(a, float64(i)/(steps/2))
		if tb.Failed() {
			tb.Fatalf("after %d steps, reopened every 10", i)
		}
	}
}
