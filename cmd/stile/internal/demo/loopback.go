package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// loopback is an HTTP server for this machine alone.
type loopback struct {
	listener net.Listener
	server   *http.Server
	served   chan error
}

// listen serves handler on a free port of 127.0.0.1.
func listen(ctx context.Context, handler http.Handler) (*loopback, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &loopback{listener: l, served: make(chan error, 1)}
	s.server = &http.Server{
		Handler:           s.only(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
	}
	go func() { s.served <- s.server.Serve(l) }()
	return s, nil
}

func (s *loopback) url() string { return "http://" + s.listener.Addr().String() }

func (s *loopback) close() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// only lets through what was meant for this address: a web page whose name was rebound to this machine asks for another host.
func (s *loopback) only(next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "127.0.0.1:"+port && r.Host != "localhost:"+port {
			http.Error(w, "this is another host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
