package durable

// Pending is how many calls wait for an answer of etcd's. It is for tests.
func (s *Semaphore) Pending() int {
	s.combiner.mu.Lock()
	defer s.combiner.mu.Unlock()
	return len(s.combiner.pending)
}

// Idle reports whether no goroutine is left of those that send requests. It is for tests.
func (s *Semaphore) Idle() bool {
	s.combiner.mu.Lock()
	defer s.combiner.mu.Unlock()
	return !s.combiner.running
}

// Waiting is how many wait for room. It is for tests.
func (s *Semaphore) Waiting() int {
	s.follower.mu.Lock()
	defer s.follower.mu.Unlock()
	return s.follower.who
}
