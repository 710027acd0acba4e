package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/fakeetcd"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/session"
)

// node is a machine that starts again when it has crashed.
type node struct {
	world *world
	name  string
	now   *process // guarded by the world's lock; nil between two
	n     int
}

// process is one life of a node: a session and those who work with it.
type process struct {
	world   *world
	name    string
	link    *link
	conn    *fakeetcd.Conn
	client  *clientv3.Client
	clock   *clock
	session *session.Session
	ctx     context.Context // ends with its life
	stop    context.CancelFunc
	working sync.WaitGroup

	// guarded by the world's lock
	dead    bool // crashed: it believes nothing any more
	still   bool
	resumed time.Time
	doubts  time.Time     // when a pause of the virtual machine ended
	back    time.Duration // how long until the node starts again
}

// cleanup is not 5 s: then a request and the clean-up that sends it would time out at one instant.
const cleanup = 4700 * time.Millisecond

// live has one process after the other. The last one lives on after the faults.
func (n *node) live() {
	w := n.world
	for w.ctx.Err() == nil {
		p := n.start()
		<-p.ctx.Done()
		w.mu.Lock()
		n.now = nil
		back := p.back
		w.mu.Unlock()
		if p.crashed() {
			w.going.Go(p.bury)
		} else {
			p.close()
		}
		sleep(w.ctx, back)
	}
}

func (n *node) start() *process {
	w := n.world
	n.n++
	p := &process{world: w, name: fmt.Sprintf("%s.%d", n.name, n.n)}
	p.link = &link{world: w, name: p.name, last: make(map[lane]int64), taken: make(map[int64]bool), deaf: w.deaf}
	p.conn = w.etcd.Connect(p.name, p.link)
	p.client = p.conn.Client()
	p.clock = &clock{start: time.Now(), rate: w.rate(w, n.name), forgets: w.forgets}
	p.ctx, p.stop = context.WithCancel(w.life)
	var err error
	p.session, err = session.New(p.client, session.TTL(w.ttl), session.CleanupTimeout(cleanup), p.simulated)
	if err != nil {
		panic(err)
	}
	for i := range w.workers {
		p.working.Go(func() { p.work(fmt.Sprintf("%s/%d", p.name, i)) })
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n.now = p
	w.note("%s starts, rate %.4f", p.name, p.clock.rate)
	return p
}

// simulated is a session's option.
func (p *process) simulated(c *keep.Config) {
	c.Clock = p.clock
	c.Rand = func() float64 { return p.world.float("pause", p.name) }
	if p.world.margin > 0 {
		c.Margin = p.world.margin
	}
}

func (p *process) crashed() bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return p.dead
}

// close is an orderly end.
func (p *process) close() {
	w := p.world
	p.working.Wait()
	calm := w.calm()
	began := time.Now()
	err := p.session.Close(over())
	if took := time.Since(began); took > cleanup+grace {
		w.isWrong("late", "%s: Close took %v", p.name, took)
	}
	if err != nil && calm {
		w.isWrong("close", "%s: %v", p.name, err)
	}
	w.say("%s closed: %v", p.name, err == nil)
	w.count("close")
	_ = p.client.Close()
	p.link.set(func(l *link) { l.dead = true })
}

// bury ends what is left of a process that has crashed: nothing of it gets out.
func (p *process) bury() {
	p.working.Wait()
	_ = p.session.Close(over())
	_ = p.client.Close()
}

// crash ends it without a word.
func (p *process) crash(back time.Duration) {
	p.link.set(func(l *link) { l.dead = true })
	w := p.world
	w.mu.Lock()
	p.dead, p.back = true, back
	w.note("%s crashes", p.name)
	w.mu.Unlock()
	p.stop()
}

// suspend has it stand still. What its goroutines do meanwhile sees no time pass, and nothing comes or goes.
func (p *process) suspend() {
	p.clock.stop()
	p.link.set(func(l *link) { l.still = true })
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.still = true
}

func (p *process) resume(virtual bool) {
	p.clock.resume(virtual)
	w := p.world
	w.mu.Lock()
	p.still, p.resumed = false, time.Now()
	if virtual {
		p.doubts = p.resumed
	}
	w.mu.Unlock()
	w.checkBelief(nil) // nothing of it has run yet
	p.link.set(func(l *link) { l.still = false })
}

func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// sleep is false if ctx ends first, or one of two others.
func sleep(ctx context.Context, d time.Duration, or ...context.Context) bool {
	var others [2]<-chan struct{}
	for i, o := range or {
		others[i] = o.Done()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-others[0]:
	case <-others[1]:
	}
	return false
}
