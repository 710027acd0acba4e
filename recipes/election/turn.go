package election

import (
	"context"
	"sync"

	"github.com/stile-dev/stile/recipes/internal/retry"
)

// A turn is had by one at a time, whose waiting ends with its ctx.
type turn struct {
	once sync.Once
	free chan struct{}
}

func (t *turn) take(ctx context.Context) (end func(), err error) {
	t.once.Do(func() {
		t.free = make(chan struct{}, 1)
		t.free <- struct{}{}
	})
	select {
	case <-t.free:
		return func() { t.free <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, retry.Why(ctx)
	}
}

// chosen is the id of who is to lead next, "" if nobody was chosen.
type chosen struct {
	mu sync.Mutex
	id string
}

func (c *chosen) set(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id = id
}

func (c *chosen) get() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}
