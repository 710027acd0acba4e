package semaphore

// Pending is how many calls wait for an answer of etcd's.
func (d *DurableSemaphore) Pending() int {
	d.combiner.mu.Lock()
	defer d.combiner.mu.Unlock()
	return len(d.combiner.pending)
}

// Idle reports whether no goroutine is left of those that send requests.
func (d *DurableSemaphore) Idle() bool {
	d.combiner.mu.Lock()
	defer d.combiner.mu.Unlock()
	return !d.combiner.running
}

// Waiting is how many wait for room.
func (d *DurableSemaphore) Waiting() int {
	d.follower.mu.Lock()
	defer d.follower.mu.Unlock()
	return d.follower.who
}
