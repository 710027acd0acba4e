// Package proxy stands between clients and a server, and breaks what they say to each other.
package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// A Direction is one of the two in which bytes go.
type Direction int

// The directions of what clients send and of what the server answers.
const (
	ToServer Direction = iota
	ToClient
)

// A Symptom is what a client notices of a cut: nothing until its own deadline, or that the connection breaks.
type Symptom int

// The symptoms of Cut.
const (
	Silence Symptom = iota
	Reset
)

// A Proxy passes every byte on until it is told otherwise. What it does to one direction it does to all connections through it,
// those of now and those to come. Its methods can be called at any time, from any goroutine.
//
// No byte is lost or overtaken, except that Cut loses what is on the way.
type Proxy struct {
	server   *url.URL
	listener *net.TCPListener
	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	running  sync.WaitGroup
	ways     [2]way // by Direction

	mu     sync.Mutex
	cut    bool
	how    Symptom // while cut
	closed bool
	failed error // why it takes no more connections, if that isn't Close's doing
	links  map[*link]struct{}
}

// Listen starts a proxy on a free port of loopback, in front of the server at endpoint, a URL. Close ends it.
func Listen(endpoint string) (*Proxy, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{server: u, listener: l, links: map[*link]struct{}{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	for i := range p.ways {
		p.ways[i].changed = make(chan struct{})
	}
	p.running.Go(p.accept)
	return p, nil
}

// URL is the address at which clients reach the server through the proxy.
func (p *Proxy) URL() string {
	return (&url.URL{Scheme: p.server.Scheme, Host: p.listener.Addr().String()}).String()
}

// Cut resets all connections, with all that is on the way in them. New ones are reset at once too (Reset), or made and then left
// without an answer (Silence), until Mend.
func (p *Proxy) Cut(how Symptom) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.how = true, how
	p.resetAll()
}

// Mend ends a Cut: whoever connects now gets through. Connections that were left without an answer are reset.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut && p.how == Silence {
		p.resetAll()
	}
	p.cut = false
}

// Hold keeps what is sent in a direction from now on, the end of a connection included, until Release. What the proxy has already
// read may still go out.
func (p *Proxy) Hold(dir Direction) { p.ways[dir].change(func(w *way) { w.held = true }) }

// Release lets through what Hold has kept, in order, and all that follows.
func (p *Proxy) Release(dir Direction) { p.ways[dir].change(func(w *way) { w.held = false }) }

// Orphan resets the clients' side of all connections, while what was sent in them and has not reached the server yet arrives d
// later. So a request gets there when its sender has long been told that the connection broke, and may have sent others. Hold keeps
// requests back until then.
func (p *Proxy) Orphan(d time.Duration) {
	p.mu.Lock()
	for l := range p.links {
		l.orphan(d)
	}
	p.mu.Unlock()
	p.ways[ToServer].change(func(*way) {})
}

// Delay has bytes of a direction arrive d after they were sent, those on the way included; 0 ends that.
func (p *Proxy) Delay(dir Direction, d time.Duration) {
	p.ways[dir].change(func(w *way) { w.delay = d })
}

// Kept is how many bytes of a direction the proxy has read and not yet passed on.
func (p *Proxy) Kept(dir Direction) int { return int(p.ways[dir].kept.Load()) }

func (p *Proxy) accept() {
	for {
		c, err := p.listener.AcceptTCP()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				p.mu.Lock()
				p.failed = fmt.Errorf("proxy: %w", err)
				p.mu.Unlock()
			}
			return
		}
		l := &link{client: c, done: make(chan struct{})}
		if p.enter(l) {
			p.running.Go(func() { p.serve(l) })
		}
	}
}

// enter takes a new connection in, and tells whether it is to be served.
func (p *Proxy) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.cut && p.how == Reset {
		l.reset()
		return false
	}
	p.links[l] = struct{}{}
	return !p.cut
}

// serve connects l to the server, and stays until both directions have ended.
func (p *Proxy) serve(l *link) {
	defer p.leave(l)
	var d net.Dialer
	c, err := d.DialContext(p.ctx, "tcp", p.server.Host)
	if err != nil {
		l.reset()
		return
	}
	server, ok := c.(*net.TCPConn)
	if !ok || !l.connect(server) {
		_ = c.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.ways[ToServer].carry(l, l.client, server) })
	both.Go(func() { p.ways[ToClient].carry(l, server, l.client) })
	both.Wait()
	l.close()
}

func (p *Proxy) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// resetAll is called with mu.
func (p *Proxy) resetAll() {
	for l := range p.links {
		l.reset()
		delete(p.links, l)
	}
}

// Close resets all connections, and returns when nothing of the proxy is left: an error if it had stopped to take connections
// before.
func (p *Proxy) Close() error {
	p.stop()
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.resetAll()
	p.mu.Unlock()
	p.running.Wait()
	return p.failed
}

// A link is a connection of a client and the one to the server that continues it.
type link struct {
	client *net.TCPConn

	late atomic.Int64 // how much later than otherwise its bytes arrive, in ns

	mu     sync.Mutex
	server *net.TCPConn // nil until it is connected
	ended  bool
	done   chan struct{}
}

// connect is false if the link was reset meanwhile.
func (l *link) connect(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.server = server
	return true
}

// orphan resets the client's connection alone.
func (l *link) orphan(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.server == nil {
		return
	}
	l.late.Store(int64(d))
	_ = l.client.SetLinger(0)
	_ = l.client.Close()
}

// reset ends both connections with a TCP reset.
func (l *link) reset() { l.end(true) }

// close ends both connections with all that was written to them.
func (l *link) close() { l.end(false) }

func (l *link) end(reset bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	close(l.done)
	for _, c := range []*net.TCPConn{l.client, l.server} {
		if c == nil {
			continue
		}
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
}

// A way is one direction of all connections.
type way struct {
	kept atomic.Int64

	mu      sync.Mutex
	held    bool
	delay   time.Duration
	changed chan struct{} // closed, and made anew, at each change
}

func (w *way) change(f func(*way)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
	close(w.changed)
	w.changed = make(chan struct{})
}

// await returns when what was sent at the given time may go on, or false if the link ends first.
func (w *way) await(sent time.Time, l *link) bool {
	for {
		w.mu.Lock()
		held, delay, changed := w.held, w.delay, w.changed
		w.mu.Unlock()
		var due <-chan time.Time // never, while it is held
		late := time.Duration(l.late.Load())
		if !held || late > 0 { // who holds bytes holds those of connections that there are
			left := time.Until(sent.Add(delay + late))
			if left <= 0 {
				return true
			}
			due = time.After(left)
		}
		select {
		case <-due:
		case <-changed:
		case <-l.done:
			return false
		}
	}
}

const (
	readSize    = 32 << 10
	queueLength = 128 // reads in a connection's queue; then its sender has to wait, as with any network
)

// A chunk is what was read at once. None are the end.
type chunk struct {
	sent  time.Time
	bytes []byte
}

// carry passes on what comes from src to dst, until src's end has been passed on, or the link was reset.
func (w *way) carry(l *link, src io.Reader, dst *net.TCPConn) {
	queue := make(chan chunk, queueLength)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() { w.read(l, src, queue) })
	gone := false // the receiver is; then the sender goes on until it notices
	for c := range queue {
		if !gone && w.await(c.sent, l) {
			if len(c.bytes) == 0 {
				_ = dst.CloseWrite()
			} else if _, err := dst.Write(c.bytes); err != nil {
				gone = true
			}
		}
		w.kept.Add(-int64(len(c.bytes)))
	}
}

// read queues what comes from src, and closes the queue after its end.
func (w *way) read(l *link, src io.Reader, queue chan<- chunk) {
	defer close(queue)
	buf := make([]byte, readSize)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			w.kept.Add(int64(n))
			select {
			case queue <- chunk{time.Now(), bytes.Clone(buf[:n])}:
			case <-l.done:
				w.kept.Add(-int64(n))
				return
			}
		}
		if err != nil {
			select {
			case queue <- chunk{sent: time.Now()}:
			case <-l.done:
			}
			return
		}
	}
}
