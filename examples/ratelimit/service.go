package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stile-dev/stile/fencing"
)

// service is what must not be asked by too many at once. It has one connection for each slot, and counts.
type service struct {
	gate fencing.Memory // refuses whoever has lost its slot

	mu       sync.Mutex
	busy     map[int]bool  // its connections
	takes    time.Duration // what it does for a call
	calls    int
	most     int
	answered chan struct{} // tells of each call
}

// ask takes a while. ctx carries the claim on the slot.
func (s *service) ask(ctx context.Context, slot int) error {
	if err := s.gate.Check(fencing.For(ctx, fmt.Sprintf("semaphore/%s#%d", name, slot))); err != nil {
		return err
	}
	takes, err := s.enter(slot)
	if err != nil {
		return err
	}
	defer s.leave(slot)
	select {
	case <-time.After(takes): // the work
		return nil
	case <-ctx.Done(): // its time is over, or its permit was lost
		return context.Cause(ctx)
	}
}

func (s *service) enter(slot int) (takes time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[slot] {
		return 0, fmt.Errorf("connection %d is busy", slot)
	}
	s.busy[slot] = true
	s.most = max(s.most, len(s.busy))
	return s.takes, nil
}

func (s *service) leave(slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, slot)
	s.calls++
	select {
	case s.answered <- struct{}{}:
	default:
	}
}

// watch looks on for a while, and until as many ask at once as may. It returns how many did, at the most.
func (s *service) watch(ctx context.Context, limit int) (most int, err error) {
	s.count() // from here on
	for done := 0; done < calls || most < limit; {
		select {
		case <-s.answered:
		case <-ctx.Done():
			return most, ctx.Err()
		}
		n, m := s.count()
		done, most = done+n, max(most, m)
		if done >= calls && most < limit { // hardly two at once: on a busy machine all the rest takes longer than the calls
			s.slower()
			done = 0
		}
	}
	return most, nil
}

func (s *service) slower() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes *= 2
}

// count is how many calls there were since the last time, and how many at once.
func (s *service) count() (calls, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls, most = s.calls, s.most
	s.calls, s.most = 0, len(s.busy)
	return calls, most
}
