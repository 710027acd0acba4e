package keep

import "sync"

// busy counts what somebody may want to wait for the end of. Its owner's lock guards it.
type busy struct {
	n    int
	idle chan struct{} // closed when n falls to 0; nil if nobody has asked
}

func (b *busy) enter() { b.n++ }

func (b *busy) leave() {
	b.n--
	if b.n == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// wait is closed when nothing goes on any more.
func (b *busy) wait() <-chan struct{} {
	if b.n == 0 {
		idle := make(chan struct{})
		close(idle)
		return idle
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	return b.idle
}

// tasks are the goroutines of a Keeper. None starts once somebody waits for their end.
type tasks struct {
	mu   sync.Mutex
	over bool
	wg   sync.WaitGroup
}

func (t *tasks) start(task func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	t.wg.Go(task)
	return true
}

func (t *tasks) wait() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	t.wg.Wait()
}
