package semaphore

// Pending is how many calls wait for an answer of etcd's.
func (d *DurableSemaphore) Pending() int { return d.do.Pending() }

// Idle reports whether no goroutine is left of those that send requests.
func (d *DurableSemaphore) Idle() bool { return d.do.Idle() }

// Waiting is how many wait for room.
func (d *DurableSemaphore) Waiting() int { return d.do.Waiting() }

// MaxDurable is the largest limit.
const MaxDurable = 1000
