package httpfence

import (
	"fmt"
	"net/http"
	"strings"
)

type transport struct{ base http.RoundTripper }

// Transport returns a RoundTripper that sends each request through base with the claim that the
// request's context carries. A nil base is http.DefaultTransport. A field set by hand is
// replaced.
//
// It fails closed. A request whose context carries no claim, several and no fencing.For to
// choose among them, or one whose hold has ended, is not sent: the error is that of
// fencing.FromContext, and errors.Is finds it through the *url.Error of http.Client. So pass the
// hold's context, and use another client for what needs no hold. What a redirect leads to another
// host, or from https to http, isn't sent either, with or without the claim: the write would go
// out of the guard's sight.
//
// A service's refusal is an answer and not an error: ask Error.
func Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{base: base}
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := fenced(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a RoundTripper must, also on an error
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(sent)
	if resp != nil {
		resp.Request = r // for the next hop's stray, also when base leaves it out
	}
	return resp, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// fenced is r with its claim.
func fenced(r *http.Request) (*http.Request, error) {
	if err := stray(r); err != nil {
		return nil, err
	}
	value, err := outgoing(r)
	if err != nil {
		return nil, err
	}
	sent := r.Clone(r.Context())
	if sent.Header == nil {
		sent.Header = make(http.Header)
	}
	sent.Header.Set(Header, value)
	return sent, nil
}

// stray refuses what a redirect leads away. Each hop of a chain comes by here, so it is enough
// to look at the one before.
func stray(r *http.Request) error {
	if r.Response == nil {
		return nil // not redirected
	}
	from := r.Response.Request
	switch {
	case from == nil:
		return fmt.Errorf("httpfence: redirected from an unknown host to %s", r.URL.Host)
	case !strings.EqualFold(from.URL.Host, r.URL.Host):
		return fmt.Errorf("httpfence: %s redirects to another host, %s: no claim is sent there", from.URL.Host, r.URL.Host)
	case from.URL.Scheme == "https" && r.URL.Scheme != "https":
		return fmt.Errorf("httpfence: %s redirects from https to %s: no claim is sent there", from.URL.Host, r.URL.Scheme)
	}
	return nil
}
