package httpfence_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/fencingtest"
	"github.com/stile-dev/stile/fencing/httpfence"
)

// remote is a gate at the other end of a connection: each of its methods is a request.
type remote struct {
	client *http.Client
	url    string
}

func (g remote) Check(ctx context.Context) error { return g.ask(ctx, http.MethodPut, "", "") }

func (g remote) CheckRead(ctx context.Context) error { return g.ask(ctx, http.MethodGet, "", "") }

func (g remote) Seal(ctx context.Context) error { return g.ask(ctx, http.MethodPost, "&seal", "") }

// ask knows from the claim alone where to go.
func (g remote) ask(ctx context.Context, method, extra, value string) error {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		return err
	}
	target := g.url + "?about=" + url.QueryEscape(claim.Resource) + extra
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(value))
	if err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return httpfence.Error(resp)
}

// TestAGuardAndItsClientKeepTheContract: over the wire nothing is lost of what a gate promises.
func TestAGuardAndItsClientKeepTheContract(t *testing.T) {
	fencingtest.Run(t, func(tb testing.TB) fencingtest.Guard {
		tb.Helper()
		var gate fencing.Memory
		var kept atomic.Value // written under the gate's turn, read without
		kept.Store("")
		guard := httpfence.Guard(&gate, func(r *http.Request) string { return r.URL.Query().Get("about") },
			httpfence.Seals(func(r *http.Request) bool { return r.URL.Query().Has("seal") }))
		srv := httptest.NewServer(guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			written, err := io.ReadAll(r.Body)
			if err != nil || len(written) == 0 {
				return // Check, CheckRead or Seal: the guard has done it
			}
			// The second step, in the handler: check and write under one turn of the gate.
			err = gate.Do(r.Context(), func() error { kept.Store(string(written)); return nil })
			if err != nil && !httpfence.Refuse(w, r, err) {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})))
		tb.Cleanup(srv.Close)
		base := &http.Transport{MaxIdleConnsPerHost: 16} // the suite has eight at once
		tb.Cleanup(base.CloseIdleConnections)
		client := &http.Client{Transport: httpfence.Transport(base)}
		g := remote{client: client, url: srv.URL + "/"}
		return fencingtest.Guard{
			Gate:  g,
			Write: func(ctx context.Context, v string) error { return g.ask(ctx, http.MethodPut, "", v) },
			Read:  func(context.Context) (string, error) { return kept.Load().(string), nil },
		}
	})
}
