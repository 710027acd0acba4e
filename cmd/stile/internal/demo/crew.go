package demo

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/server"
)

// crew is the workers. They end before the server that they use, and before the ledgers that they write.
type crew struct {
	server  *server.Server
	gate    *gate
	ledgers *ledgers

	mu      sync.Mutex
	workers []*process
}

func newCrew(lc fx.Lifecycle, s *server.Server, g *gate, l *ledgers) *crew {
	c := &crew{server: s, gate: g, ledgers: l}
	lc.Append(fx.StopHook(c.end))
	return c
}

// start starts a worker by that name.
func (c *crew) start(ctx context.Context, name string) (*process, error) {
	p, err := startProcess(ctx, workerConfig{
		Name:     name,
		Endpoint: c.server.Endpoints()[0],
		Gate:     c.gate.url(),
		Secret:   c.gate.secret,
		Plain:    c.ledgers.plain(),
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers = append(c.workers, p)
	return p, nil
}

// dismiss ends one worker.
func (c *crew) dismiss(p *process) error {
	c.mu.Lock()
	for i, w := range c.workers {
		if w == p {
			c.workers = append(c.workers[:i], c.workers[i+1:]...)
			break
		}
	}
	c.mu.Unlock()
	return p.end()
}

func (c *crew) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range c.workers {
		errs = append(errs, p.end())
	}
	c.workers = nil
	return errors.Join(errs...)
}
