package server

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
)

// serveHTTP serves the HTTP port. Answers have no time limit, since a watch through the gateway lasts.
func (n *node) serveHTTP(s *Server) error {
	mux := http.NewServeMux()
	etcdhttp.HandleMetrics(mux)
	etcdhttp.HandleVersion(mux, n.etcd.Server)
	etcdhttp.HandleHealth(s.log, mux, n.etcd.Server)
	if n.settings.HTTPGateway {
		gw, err := n.newGateway(s)
		if err != nil {
			return err
		}
		n.gateway = gw
		mux.Handle("/v3/", gw)
	}
	n.http = &http.Server{
		Handler:           n.guardHTTP(mux),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          log.New(io.Discard, "", 0), // strangers' mistakes aren't ours to log
	}
	l := net.Listener(n.httpListener)
	if n.httpListener.url.Scheme == "https" {
		cfg := n.tls.Clone()
		cfg.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, cfg)
	}
	n.run(n.httpListener.url.Host, func() error { return n.http.Serve(l) })
	return nil
}

// guardHTTP lets requests through that no web page of another origin can have sent.
//
// Where client certificates are asked for, any Host will do: others reach the server by names that it
// doesn't know. A rebound page isn't served there, since the browser wants a certificate for the page's
// name and has none of its own to show. A plain http port has no such protection, whatever ClientCAFile
// says about the client port.
func (n *node) guardHTTP(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	limited := http.MaxBytesHandler(sameOrigin, 2*int64(n.settings.MaxRequestBytes)+64<<10) // JSON holds bytes in base64
	if n.settings.http.Scheme == "https" && n.settings.ClientCAFile != "" {
		return limited
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !allowedHost(r.Host, n.settings.http) {
			http.Error(w, "unknown host: use the address that the server listens on", http.StatusMisdirectedRequest)
			return
		}
		limited.ServeHTTP(w, r)
	})
}

// allowedHost refuses names other than our own: a page of evil.example whose name was rebound to this
// machine is of the same origin as we are, as far as the browser can tell. An IP address can't be
// rebound.
func allowedHost(hostport string, own *url.URL) bool {
	host := (&url.URL{Host: hostport}).Hostname()
	return strings.EqualFold(host, "localhost") || strings.EqualFold(host, own.Hostname()) || net.ParseIP(host) != nil
}
