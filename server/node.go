package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// drainTimeout is how long requests in flight have to be answered when the server stops.
const drainTimeout = time.Second

// node is all that Start makes. Its fields are filled in one by one, and stop undoes what is there.
type node struct {
	settings settings
	tls      *tls.Config // nil without TLS

	clients      []listener
	httpListener *listener
	peers        *peers // nil without a cluster
	dir          *dataDir
	etcd         *embed.Etcd

	drain   *drain
	servers []*grpc.Server
	gateway *gateway
	http    *http.Server

	serving  sync.WaitGroup // the goroutines of serve and watch
	failed   chan error     // a listener that stopped serving by itself
	stopping chan struct{}
}

// startNode takes what can be refused first (addresses, certificates, the directory), then etcd.
func startNode(ctx context.Context, s *Server) (started *node, err error) {
	n := &node{settings: s.settings, drain: newDrain(), failed: make(chan error, 1), stopping: make(chan struct{})}
	defer func() {
		if err != nil {
			started, err = nil, errors.Join(err, n.stop())
		}
	}()
	if err := interrupted(ctx); err != nil {
		return nil, err
	}
	if n.tls, err = serverTLS(s.settings, s.log); err != nil {
		return nil, err
	}
	if err := n.listen(ctx); err != nil {
		return nil, err
	}
	if err := n.servePeers(s.log); err != nil {
		return nil, err
	}
	if n.dir, err = openDataDir(s.settings); err != nil {
		return nil, err
	}
	if err := n.startEtcd(ctx, s); err != nil {
		return nil, err
	}
	s.conn.open(n.etcd.Server)
	return n, n.serve(s)
}

func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errClosed) {
		return fmt.Errorf("start: %w", errClosed)
	}
	return fmt.Errorf("start: %w", ctx.Err())
}

func (n *node) listen(ctx context.Context) error {
	for _, u := range n.settings.clients {
		l, err := listen(ctx, u)
		if err != nil {
			return err
		}
		n.clients = append(n.clients, l)
	}
	if n.settings.http == nil {
		return nil
	}
	l, err := listen(ctx, n.settings.http)
	if err != nil {
		return err
	}
	n.httpListener = &l
	return nil
}

// run serves in a goroutine that stop waits for.
func (n *node) run(what string, serve func() error) {
	n.serving.Go(func() {
		err := serve()
		if err == nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
			return
		}
		select {
		case n.failed <- fmt.Errorf("server: serve %s: %w", what, err):
		default: // the first reason is enough
		}
	})
}

// watch calls stopped when the node stops by itself.
func (n *node) watch(stopped func(error)) {
	n.serving.Go(func() {
		select {
		case <-n.stopping:
		case err := <-n.failed:
			stopped(err)
		case <-n.etcd.Server.StopNotify():
			stopped(errors.New("server: etcd stopped by itself; its log says why"))
		}
	})
}

// stop gives back what the node has, whatever that is. It is called once.
func (n *node) stop() error {
	close(n.stopping)
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	n.stopServing(ctx)
	for _, l := range n.clients {
		_ = l.Close() // closed already if it was served
	}
	if n.httpListener != nil {
		_ = n.httpListener.Close()
	}
	n.stopEtcd()
	n.serving.Wait()
	if n.dir == nil {
		return nil
	}
	return n.dir.release()
}
