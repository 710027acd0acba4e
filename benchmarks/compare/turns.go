package main

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// turns is the record of an exclusive's holders: who had it, when, and how long the hand-over took.
type turns struct {
	mu       sync.Mutex
	inside   int
	overlaps int       // times that somebody came in while another was inside
	released time.Time // when the last one began to release; zero before
	list     []turn
}

// turn is one acquisition.
type turn struct {
	who  int
	at   time.Time     // when Acquire had returned
	over time.Duration // since the one before began to release; -1 for the first, who was handed nothing
}

// enter is called as soon as an acquisition has returned.
func (t *turns) enter(who int) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside++; t.inside > 1 {
		t.overlaps++
	}
	over := time.Duration(-1)
	if !t.released.IsZero() {
		over = now.Sub(t.released)
	}
	t.list = append(t.list, turn{who, now, over})
}

// leave is called just before the release.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside--
	t.released = time.Now()
}

// check fails if two were inside at one time, ever.
func (t *turns) check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.overlaps > 0 {
		return fmt.Errorf("%w: %d of %d acquisitions", errOverlap, t.overlaps, len(t.list))
	}
	return nil
}

// errOverlap is not a slow result but a wrong one.
var errOverlap = errors.New("two held it at one time")

// within are the turns from begin on and before end.
func (t *turns) within(begin, end time.Time) []turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	var in []turn
	for _, turn := range t.list {
		if !turn.at.Before(begin) && turn.at.Before(end) {
			in = append(in, turn)
		}
	}
	return in
}

// handOvers are how long they took.
func handOvers(list []turn) []time.Duration {
	var d []time.Duration
	for _, t := range list {
		if t.over >= 0 {
			d = append(d, t.over)
		}
	}
	return d
}

// shares are how many turns each of n participants had.
func shares(list []turn, n int) []float64 {
	s := make([]float64, n)
	for _, t := range list {
		s[t.who]++
	}
	return s
}
