package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/recipes/lock"
)

// page shows the lock and the ledger, to browsers on this machine.
type page struct {
	fx.In
	Client *clientv3.Client
	Ledger *ledger
}

func servePage(ctx context.Context, p page) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("page at http://%s/\n", l.Addr())
	srv := &http.Server{Handler: only(l.Addr().String(), p), ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// only refuses requests that were meant for another host: those of a page whose name was rebound to this machine.
func only(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case r.Host != host:
			http.Error(w, "this page is at http://"+host, http.StatusForbidden)
		case r.Method != http.MethodGet || r.URL.Path != "/":
			http.NotFound(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state, err := lock.Inspect(r.Context(), p.Client, "ledger")
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	last, refused := p.Ledger.state()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = layout.Execute(w, map[string]any{"Lock": state, "Last": last, "Refused": refused}) // the browser went away
}

var layout = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1"><title>ledger</title>
<style>body { font: 16px/1.5 sans-serif; margin: 2em; max-width: 40em }</style>
{{define "who"}}token {{.Token}}, process {{.PID}} on {{.Host}}{{range $k, $v := .Labels}}, {{$k}} {{$v}}{{end}}{{end}}
<h1>lock “{{.Lock.Name}}”</h1>
<p>Held by: <b id="holder">{{with .Lock.Holder}}{{template "who" .}}{{else}}nobody{{end}}</b></p>
<p>Waiting, in order:</p>
<ol>{{range .Lock.Waiters}}<li>{{template "who" .}}</li>{{end}}</ol>
<h2>Fenced ledger</h2>
<p>Late writes refused: <b id="refused">{{.Refused}}</b></p>
<pre>{{range .Last}}{{.}}{{end}}</pre>
</html>
`))
