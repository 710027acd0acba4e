package fencingtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

const (
	crowd  = 8  // how many do something at once
	rounds = 40 // how often each of them does it
)

// A mark is the largest token that was admitted for certain: it is raised after the answer.
type mark struct {
	mu    sync.Mutex
	token fencing.Token
}

func (m *mark) get() fencing.Token {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token
}

func (m *mark) raise(t fencing.Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.Compare(m.token) > 0 {
		m.token = t
	}
}

// present has a claim admitted or refused, and fails if it was admitted though a larger one had been before it was presented.
func (m *mark) present(tb testing.TB, c fencing.Claim, act func(c fencing.Claim) error) {
	tb.Helper()
	before := m.get()
	switch err := act(c); {
	case err == nil && c.Token.Compare(before) < 0:
		tb.Errorf("%v was admitted after %v had been", c.Token, before)
	case err == nil:
		m.raise(c.Token)
	case !errors.Is(err, fencing.ErrStale):
		tb.Errorf("%s: %v", show(c), err)
	}
}

// together runs act crowd times at once.
func together(act func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range crowd {
		all.Go(func() {
			<-start
			act(i)
		})
	}
	close(start)
	all.Wait()
}

// firstUse: of many who are the first on a resource at the same time, the largest counts.
func firstUse(tb testing.TB, g Guard) {
	tb.Helper()
	a := asker{tb, g.Gate}
	for round := range rounds {
		var admitted mark
		name := "lock/first " + strconv.Itoa(round)
		together(func(i int) {
			c := fencing.Claim{Resource: name, Token: rev(int64(9 + i))}
			admitted.present(tb, c, func(c fencing.Claim) error { return a.ask([]method{check, seal}[i%2], c) })
		})
		largest := rev(9 + crowd - 1)
		if got := admitted.get(); got != largest {
			tb.Errorf("the largest that was admitted is %v, want %v: nobody had a larger one", got, largest)
		}
		a.refuses(check, fencing.Claim{Resource: name, Token: rev(9 + crowd - 2)}, largest)
	}
}

// race: no smaller token is admitted after a larger one.
func race(tb testing.TB, g Guard) {
	tb.Helper()
	racing(tb, []asker{{tb, g.Gate}})
}

// twoGates: gates on one store are as one.
func twoGates(tb testing.TB, g Guard) {
	tb.Helper()
	one, two := asker{tb, g.Gate}, asker{tb, g.Reopen()}
	one.admits(check, exclusive(rev(5)))
	two.admits(seal, exclusive(rev(7)))
	one.refuses(check, exclusive(rev(5)), rev(7))
	one.refuses(checkRead, shared(rev(6)), rev(7))
	one.admits(seal, shared(rev(8)))
	two.refuses(check, exclusive(rev(7)), rev(8))
	racing(tb, []asker{one, two})
}

func racing(tb testing.TB, gates []asker) {
	tb.Helper()
	var admitted mark
	together(func(i int) {
		for round := range rounds {
			a, m := gates[(i+round)%len(gates)], []method{check, seal}[round%2]
			admitted.present(tb, exclusive(someToken(round)), func(c fencing.Claim) error { return a.ask(m, c) })
		}
	})
	for _, a := range gates {
		a.admits(check, exclusive(admitted.get()))
	}
}

// someToken is somewhere near the others' of the same round.
func someToken(round int) fencing.Token { return rev(int64(90 + 2*round + rand.IntN(2*crowd))) }

// racingWrites: the value that is there is never replaced by one with a smaller token.
func racingWrites(tb testing.TB, g Guard) {
	tb.Helper()
	r := register{tb, g}
	var written mark
	together(func(i int) {
		for round := range rounds {
			written.present(tb, exclusive(someToken(round)), func(c fencing.Claim) error {
				return r.write(c, c.Token.String())
			})
			before := written.get()
			if got := r.token(); got.Compare(before) < 0 {
				tb.Errorf("the value is that of %v after %v had written", got, before)
			}
		}
	})
	if got := r.token(); got != written.get() {
		tb.Errorf("the value is that of %v, want that of %v, the largest", got, written.get())
	}
}

// sealing: from the return of Seal on no write of an earlier holder lands.
func sealing(tb testing.TB, g Guard) {
	tb.Helper()
	r, a := register{tb, g}, asker{tb, g.Gate}
	for round := range rounds {
		writer, next := exclusive(rev(int64(9+2*round))), exclusive(rev(int64(10+2*round)))
		next.Mode = fencing.Mode(round % 2)
		var writing, begun sync.WaitGroup
		sealed := make(chan struct{})
		begun.Add(crowd)
		for range crowd {
			writing.Go(func() { r.writeOn(writer, begun.Done, sealed) })
		}
		begun.Wait()
		a.admits(seal, next)
		before := r.read()
		close(sealed)
		writing.Wait()
		if after := r.read(); after != before {
			tb.Errorf("%q became %q in the term of %s", before, after, show(next))
		}
		a.refuses(check, writer, next.Token)
	}
}

// writeOn writes until it is refused, and says when it has written once.
func (r register) writeOn(c fencing.Claim, begun func(), sealed <-chan struct{}) {
	r.tb.Helper()
	for i := 0; ; i++ {
		over := isClosed(sealed)
		err := r.write(c, fmt.Sprint("write ", rand.Uint64(), " with ", c.Token))
		if i == 0 {
			begun()
		}
		switch {
		case errors.Is(err, fencing.ErrStale):
			return
		case err != nil:
			r.tb.Errorf("Write with %v: %v", c.Token, err)
			return
		case over:
			r.tb.Errorf("a write with %v was admitted after a larger token had sealed", c.Token)
			return
		}
		runtime.Gosched()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
