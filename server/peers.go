package server

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/rafthttp"
	"go.etcd.io/etcd/server/v3/lease/leasehttp"
	"go.uber.org/zap"
)

// peerReadTimeout is how long another member may take to send a request, a snapshot included: etcd's own.
const peerReadTimeout = 5 * time.Minute

// peers serves the other members. embed could do it too, but it listens before it serves: members that
// start at one time then wait for one another's answer, a second each. It also takes up to a second to
// close.
type peers struct {
	server  *http.Server
	running sync.WaitGroup // requests that handler answers

	mu      sync.Mutex
	handler http.Handler // nil while etcd doesn't run
}

// servePeers listens for the other members, if there are any to be.
func (n *node) servePeers(lg *zap.Logger) error {
	u := n.settings.peer
	if u == nil {
		return nil
	}
	info := n.settings.peerTLS(lg)
	if u.Scheme == "https" { // NewListener would keep the port of one that has no good certificate
		if _, err := info.ServerConfig(); err != nil {
			return fmt.Errorf("peer TLS: %w", err)
		}
	}
	l, err := rafthttp.NewListener(*u, &info)
	if err != nil {
		return fmt.Errorf("listen %s for members: %w", u.Host, bindReason(err))
	}
	p := &peers{}
	p.server = &http.Server{
		Handler:     p,
		ReadTimeout: peerReadTimeout,
		ErrorLog:    log.New(io.Discard, "", 0), // strangers' mistakes aren't ours to log
		Protocols:   new(http.Protocols),
	}
	p.server.Protocols.SetHTTP1(true)
	n.peers = p
	n.run(u.Host, func() error { return p.server.Serve(l) })
	return nil
}

// open lets members in.
func (p *peers) open(lg *zap.Logger, s *etcdserver.EtcdServer) { p.set(etcdhttp.NewPeerHandler(lg, s)) }

// refuse lets nobody in any more. Streams that are open go on.
func (p *peers) refuse() { p.set(nil) }

func (p *peers) set(h http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handler = h
}

// ServeHTTP answers at once while etcd starts or stops: another member then tries again, or asks the next.
func (p *peers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !often(r.URL.Path) {
		w.Header().Set("Connection", "close") // a member that can't start leaves its connections open
	}
	h := p.enter()
	if h == nil {
		http.Error(w, "not serving", http.StatusServiceUnavailable)
		return
	}
	defer p.running.Done()
	h.ServeHTTP(w, r)
}

// often says whether members ask for path so often that a connection is worth keeping.
func often(path string) bool {
	return strings.HasPrefix(path, rafthttp.RaftPrefix) || strings.HasPrefix(path, leasehttp.LeasePrefix)
}

func (p *peers) enter() http.Handler {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handler != nil {
		p.running.Add(1)
	}
	return p.handler
}

// close cuts the connections of those that refuse keeps out, and returns when nobody is being answered.
func (p *peers) close() {
	_ = p.server.Close()
	p.running.Wait()
}
