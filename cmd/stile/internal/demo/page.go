package demo

import (
	"context"
	"embed"
	"encoding/json"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/server"
)

//go:embed page/index.html page/page.css page/page.js
var files embed.FS

// page shows the demo in a browser. It reads and changes nothing.
type page struct {
	server  *server.Server
	client  *clientv3.Client
	gate    *gate
	ledgers *ledgers
	http    *loopback
}

func newPage(lc fx.Lifecycle, s *server.Server, c *clientv3.Client, g *gate, l *ledgers) *page {
	p := &page{server: s, client: c, gate: g, ledgers: l}
	lc.Append(fx.StartStopHook(
		func(ctx context.Context) (err error) {
			p.http, err = listen(ctx, p.handler())
			return err
		},
		func() error { return p.http.close() },
	))
	return p
}

func (p *page) url() string { return p.http.url() + "/" }

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	for path, file := range map[string]string{"/{$}": "index.html", "/page.css": "page.css", "/page.js": "page.js"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, files, "page/"+file)
		})
	}
	mux.HandleFunc("GET /state", p.state)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return guarded(mux)
}

// guarded allows the page what it needs, and nobody to put it into a page of theirs.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// state is what the page shows. Anybody can hold the lock, so whatever the names in it are: they are text.
type state struct {
	Endpoint string     `json:"endpoint"`
	Lock     lock.State `json:"lock"`
	Plain    []Entry    `json:"plain"`
	Fenced   []Entry    `json:"fenced"`
	Refused  []refusal  `json:"refused"`
	Count    int        `json:"refused_count"`
}

func (p *page) state(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	s, err := p.look(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s) // whoever asked may be gone
}

func (p *page) look(ctx context.Context) (state, error) {
	s := state{Endpoint: p.server.Endpoints()[0]}
	var err error
	if s.Lock, err = lock.Inspect(ctx, p.client, lockName); err != nil {
		return state{}, err
	}
	if s.Plain, err = readLines(p.ledgers.plain()); err != nil {
		return state{}, err
	}
	if s.Fenced, err = readLines(p.ledgers.fenced()); err != nil {
		return state{}, err
	}
	s.Plain, s.Fenced = last(s.Plain), last(s.Fenced)
	s.Refused, s.Count = p.gate.refusals()
	return s, nil
}

func last(entries []Entry) []Entry { return entries[max(0, len(entries)-shown):] }
