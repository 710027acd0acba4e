package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
	"github.com/stile-dev/stile/internal/proxy"
)

// A crewman is one client: a process that is started again when it was killed, behind proxies of its own, one for each server.
type crewman struct {
	program string
	dir     string
	cfg     ClientConfig // of the next life
	proxies []*proxy.Proxy
	latency time.Duration   // of answers, when nothing else is wrong
	out     *history.Writer // of the harness

	mu   sync.Mutex
	proc *child // nil while it is dead
}

func newCrewman(program, dir string, cfg ClientConfig, endpoints []string, latency time.Duration, out *history.Writer) (*crewman, error) {
	m := &crewman{program: program, dir: dir, cfg: cfg, latency: latency, out: out}
	for _, e := range endpoints {
		p, err := proxy.Listen(e)
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		m.proxies = append(m.proxies, p)
		m.cfg.Endpoints = append(m.cfg.Endpoints, p.URL())
	}
	m.heal()
	return m, m.start()
}

// start begins its next life.
func (m *crewman) start() error {
	m.cfg.File = filepath.Join(m.dir, fmt.Sprintf("client-%d-%d%s", m.cfg.Client, m.cfg.Life, history.Suffix))
	cmd, err := command(m.program, "client", m.cfg)
	if err != nil {
		return err
	}
	p, out, err := startChild(cmd, filepath.Join(m.dir, fmt.Sprintf("client-%d.log", m.cfg.Client)))
	if err != nil {
		return fmt.Errorf("start client %d: %w", m.cfg.Client, err)
	}
	_ = out.Close() // it says nothing
	m.cfg.Life++
	m.cfg.Seed++
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proc = p
	return nil
}

func (m *crewman) process() *child {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// kill ends its life.
func (m *crewman) kill() error {
	p := m.process()
	if p.over() {
		return fmt.Errorf("client %d ended by itself: %w", m.cfg.Client, p.err)
	}
	p.kill()
	return nil
}

// stopTime is how long a client may take to give everything back.
const stopTime = 25 * time.Second

// stop has it give everything back and end. That it doesn't, in time and with nothing left, is for the checkers.
func (m *crewman) stop() {
	p := m.process()
	if err := p.stop(stopTime, p.stdin.Close); err != nil {
		who := history.Who{Client: m.cfg.Client, Life: m.cfg.Life - 1}
		m.out.Write(history.Record{End: &history.End{Who: who, At: history.Now(), Leaks: []string{err.Error()}}})
	}
}

// each does f with all its proxies.
func (m *crewman) each(f func(p *proxy.Proxy)) {
	for _, p := range m.proxies {
		f(p)
	}
}

// heal ends all that its proxies do.
func (m *crewman) heal() {
	m.each(func(p *proxy.Proxy) {
		p.Delay(proxy.ToServer, 0)
		p.Delay(proxy.ToClient, m.latency)
		p.Release(proxy.ToServer)
		p.Release(proxy.ToClient)
		p.Mend()
	})
}

// lose ends all connections, with what is on the way in them.
func (m *crewman) lose() {
	m.each(func(p *proxy.Proxy) {
		p.Cut(proxy.Reset)
		p.Mend()
	})
}

func (m *crewman) close() error {
	if p := m.process(); p != nil {
		p.kill()
	}
	var errs []error
	for _, p := range m.proxies {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// store is the process of the store.
func startStore(ctx context.Context, program, dir string) (*child, string, error) {
	cmd, err := command(program, "store", StoreConfig{File: filepath.Join(dir, "store"+history.Suffix)})
	if err != nil {
		return nil, "", err
	}
	p, out, err := startChild(cmd, filepath.Join(dir, "store.log"))
	if err != nil {
		return nil, "", fmt.Errorf("start the store: %w", err)
	}
	line, err := readLine(ctx, out)
	if err != nil || len(line) == 0 {
		p.kill()
		return nil, "", fmt.Errorf("start the store: %w", err)
	}
	return p, string(line[:len(line)-1]), nil
}
