package chaos

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// A screen tells how the run goes: a line every few seconds, on a terminal always the same one.
type screen struct {
	out   io.Writer
	tty   bool
	began time.Time
	done  chan struct{}
	over  sync.WaitGroup

	mu    sync.Mutex
	round int
	total Total
	now   *round
}

const (
	tellEvery   = 5 * time.Second
	redrawEvery = 500 * time.Millisecond
)

func startScreen(out io.Writer, t *Tools, began time.Time) *screen {
	f, isFile := out.(*os.File)
	s := &screen{out: out, tty: isFile && term.IsTerminal(int(f.Fd())), began: began, done: make(chan struct{})}
	t.began = func(r *round) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now = r
	}
	s.over.Go(s.run)
	return s
}

func (s *screen) next(n int, total *Total) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round, s.total = n, *total
	s.total.Faults = nil
	s.total.Rounds = sum(total.Faults)
}

func (s *screen) run() {
	every := tellEvery
	if s.tty {
		every = redrawEvery
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.tell()
		case <-s.done:
			if s.tty {
				tell(s.out, "\r\x1b[K")
			}
			return
		}
	}
}

func (s *screen) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return
	}
	r := s.now
	r.mu.Lock()
	faults := s.total.Rounds + sum(r.faults)
	r.mu.Unlock()
	text := fmt.Sprintf("%6.0f s  round %d, %s on %d (seed %d)  %d faults  %d violations  %s",
		time.Since(s.began).Seconds(), s.round, r.plan.Workload, r.plan.Members, r.seed, faults, len(s.total.Violations), *r.phase.Load())
	if s.tty {
		tell(s.out, "\r\x1b[K%s", text)
		return
	}
	tell(s.out, "%s\n", text)
}

func (s *screen) stop() {
	close(s.done)
	s.over.Wait()
}
