package recipestest

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
	"testing"
)

// A network is what the members of a cluster reach each other through: an address for each of them, where connections of the others are
// passed on to it. It tells by the first request on a connection who opened it.
type network struct {
	tb      testing.TB
	ctx     context.Context // ends with the test
	running sync.WaitGroup
	gates   []*net.TCPListener

	mu     sync.Mutex
	hosts  []string // where the members listen
	ids    []string // as they name themselves in requests
	cuts   [][]bool // from, to
	closed bool
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

func newNetwork(tb testing.TB, n int) *network {
	tb.Helper()
	all := &network{tb: tb, hosts: make([]string, n), ids: make([]string, n), wires: map[*wire]struct{}{}}
	var stop context.CancelFunc
	all.ctx, stop = context.WithCancel(context.Background())
	tb.Cleanup(func() {
		stop()
		all.close()
	})
	for i := range n {
		all.cuts = append(all.cuts, make([]bool, n))
		all.open(i)
	}
	return all
}

func (n *network) open(i int) {
	n.tb.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		n.tb.Fatalf("recipestest: %v", err)
	}
	n.gates = append(n.gates, l)
	n.running.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					n.tb.Errorf("recipestest: network: %v", err)
				}
				return
			}
			n.running.Go(func() { n.serve(c, i) })
		}
	})
}

// url is where the others reach the i-th member.
func (n *network) url(i int) string { return "http://" + n.gates[i].Addr().String() }

// listens tells where the i-th member is from now on.
func (n *network) listens(i int, host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[i] = host
}

// identify tells how the i-th member names itself.
func (n *network) identify(i int, id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ids[i] = fmt.Sprintf("%x", id)
	n.apply()
}

// serve passes on what comes on c, until both sides have ended.
func (n *network) serve(c *net.TCPConn, to int) {
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

func (n *network) enter(w *wire) bool {
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
func (n *network) known(w *wire, from string) (host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.from = from
	n.applyTo(w)
	return n.hosts[w.to]
}

func (n *network) leave(w *wire) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wires, w)
}

// cut keeps what from sends to to.
func (n *network) cut(from, to int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[from][to] = from != to
	n.apply()
}

// mend resets whatever was cut, so that nothing old arrives, and lets all others be.
func (n *network) mend() {
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
func (n *network) apply() {
	for w := range n.wires {
		n.applyTo(w)
	}
}

func (n *network) applyTo(w *wire) {
	there, back := n.isCut(w)
	w.ways[ToServer].change(func(w *way) { w.held = there })
	w.ways[ToClient].change(func(w *way) { w.held = back })
	w.cut = w.cut || there || back
}

// isCut says whether what w's opener sends is kept, and what it is sent. Of a wire whose opener is unknown that is so if it is so for
// everybody.
func (n *network) isCut(w *wire) (there, back bool) {
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

func (n *network) close() {
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
}
