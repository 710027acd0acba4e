package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
)

// A Network is what the members of a cluster reach each other through: an address for each of them, where connections of the others are
// passed on to it. It tells by the first request on a connection who opened it.
type Network struct {
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup
	gates   []*net.TCPListener

	mu     sync.Mutex
	hosts  []string // where the members listen
	ids    []string // as they name themselves in requests
	cuts   [][]bool // from, to
	closed bool
	failed error // why it takes no more connections, if that isn't Close's doing
	wires  map[*wire]struct{}
}

// A wire is a connection from one member to another.
type wire struct {
	link
	from string // who opened it: an id, or "" if the request doesn't say
	to   int
	ways [2]way // by Direction
	cut  bool   // bytes are kept, or were
}

// ListenNetwork starts one for n members, on free ports of loopback. Close ends it.
func ListenNetwork(n int) (*Network, error) {
	all := &Network{hosts: make([]string, n), ids: make([]string, n), wires: map[*wire]struct{}{}}
	all.ctx, all.stop = context.WithCancel(context.Background())
	for i := range n {
		all.cuts = append(all.cuts, make([]bool, n))
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("network: %w", err), all.Close())
		}
		all.gates = append(all.gates, l)
		all.running.Go(func() { all.accept(l, i) })
	}
	return all, nil
}

func (n *Network) accept(l *net.TCPListener, to int) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				n.mu.Lock()
				n.failed = fmt.Errorf("network: %w", err)
				n.mu.Unlock()
			}
			return
		}
		n.running.Go(func() { n.serve(c, to) })
	}
}

// URL is where the others reach the i-th member.
func (n *Network) URL(i int) string { return "http://" + n.gates[i].Addr().String() }

// Listens tells where the i-th member is from now on.
func (n *Network) Listens(i int, host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[i] = host
}

// Identify tells how the i-th member names itself.
func (n *Network) Identify(i int, id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ids[i] = fmt.Sprintf("%x", id)
	n.apply()
}

// serve passes on what comes on c, until both sides have ended.
func (n *Network) serve(c *net.TCPConn, to int) {
	w := &wire{link: link{client: c, done: make(chan struct{})}, to: to}
	for i := range w.ways {
		w.ways[i].changed = make(chan struct{})
	}
	if !n.enter(w) {
		return
	}
	defer n.leave(w)
	first := bufio.NewReader(c)
	from, err := opener(first)
	host := n.known(w, from)
	if err != nil || host == "" {
		w.reset()
		return
	}
	var d net.Dialer
	conn, err := d.DialContext(n.ctx, "tcp", host)
	if err != nil {
		w.reset()
		return
	}
	server, ok := conn.(*net.TCPConn)
	if !ok || !w.connect(server) {
		_ = conn.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { w.ways[ToServer].carry(&w.link, first, server) })
	both.Go(func() { w.ways[ToClient].carry(&w.link, server, c) })
	both.Wait()
	w.close()
}

// opener is the id of the member that sends the request, "" if it doesn't say. The request stays in r.
func opener(r *bufio.Reader) (string, error) {
	for n := 1; ; n = r.Buffered() + 1 {
		if _, err := r.Peek(n); err != nil {
			return "", err
		}
		head, _ := r.Peek(r.Buffered())
		if !bytes.Contains(head, []byte("\r\n\r\n")) {
			continue
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return "", err
		}
		return req.Header.Get("X-Server-From"), nil
	}
}

func (n *Network) enter(w *wire) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		w.reset()
		return false
	}
	n.wires[w] = struct{}{}
	return true
}

// known takes down who opened w, and returns where it goes.
func (n *Network) known(w *wire, from string) (host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.from = from
	n.applyTo(w)
	return n.hosts[w.to]
}

func (n *Network) leave(w *wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
}

// Cut keeps what from sends to to.
func (n *Network) Cut(from, to int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[from][to] = from != to
	n.apply()
}

// Mend resets whatever was cut, so that nothing old arrives, and lets all others be.
func (n *Network) Mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, row := range n.cuts {
		clear(row)
	}
	for w := range n.wires {
		if w.cut {
			w.reset()
			delete(n.wires, w)
		}
	}
}

// apply is called with mu.
func (n *Network) apply() {
	for w := range n.wires {
		n.applyTo(w)
	}
}

func (n *Network) applyTo(w *wire) {
	there, back := n.isCut(w)
	w.ways[ToServer].change(func(w *way) { w.held = there })
	w.ways[ToClient].change(func(w *way) { w.held = back })
	w.cut = w.cut || there || back
}

// isCut says whether what w's opener sends is kept, and what it is sent. Of a wire whose opener is unknown that is so if it is so for
// everybody.
func (n *Network) isCut(w *wire) (there, back bool) {
	if from := slices.Index(n.ids, w.from); from >= 0 && w.from != "" {
		return n.cuts[from][w.to], n.cuts[w.to][from]
	}
	there, back = len(n.ids) > 1, len(n.ids) > 1
	for i := range n.ids {
		if i != w.to {
			there, back = there && n.cuts[i][w.to], back && n.cuts[w.to][i]
		}
	}
	return there, back
}

// Close resets all connections, and returns when nothing of the network is left: an error if it had stopped to take connections
// before. Twice is the same as once.
func (n *Network) Close() error {
	n.stop()
	for _, l := range n.gates {
		_ = l.Close()
	}
	n.mu.Lock()
	n.closed = true
	for w := range n.wires {
		w.reset()
	}
	n.mu.Unlock()
	n.running.Wait()
	return n.failed
}
