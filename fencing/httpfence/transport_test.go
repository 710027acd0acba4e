package httpfence_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/httpfence"
)

var errGone = errors.New("the lease is lost")

func claim(resource string, rev int64) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: fencing.FromRevision(rev)}
}

func shared(resource string, rev int64) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: fencing.FromRevision(rev), Mode: fencing.Shared}
}

func request(ctx context.Context, t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// base is a RoundTripper that keeps what it is given, and answers with location or with 200.
type base struct {
	sent     []*http.Request
	location string
}

func (b *base) RoundTrip(r *http.Request) (*http.Response, error) {
	b.sent = append(b.sent, r)
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	if len(b.sent) == 1 && b.location != "" {
		resp.StatusCode = http.StatusTemporaryRedirect
		resp.Header.Set("Location", b.location)
	}
	return resp, nil // without the request: not every RoundTripper sets it
}

func (b *base) tokens() []string {
	var tokens []string
	for _, r := range b.sent {
		tokens = append(tokens, strings.Join(r.Header[httpfence.Header], "|"))
	}
	return tokens
}

// body tells whether it was closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestTheClaimTravelsWithTheRequest(t *testing.T) {
	for name, header := range map[string]http.Header{"none": nil, "by hand": {httpfence.Header: {"forged", "twice"}, "X-Own": {"1"}}} {
		t.Run(name, func(t *testing.T) {
			var b base
			r := request(fencing.NewContext(t.Context(), claim("lock/a", 7)), t, http.MethodPut, "http://svc.example/a", nil)
			r.Header = header
			before := header.Clone()
			resp, err := httpfence.Transport(&b).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, want := b.tokens(), []string{`"7";resource="lock/a";mode=exclusive`}; !slices.Equal(got, want) {
				t.Errorf("sent %q, want %q", got, want)
			}
			if own := b.sent[0].Header.Get("X-Own"); own != header.Get("X-Own") {
				t.Errorf("another field was sent as %q", own)
			}
			if r.Header.Get(httpfence.Header) != before.Get(httpfence.Header) || resp.Request != r {
				t.Error("the caller's request was changed, or isn't the answer's")
			}
		})
	}
}

func TestNothingIsSentWithoutOneClaim(t *testing.T) {
	two := fencing.NewContext(t.Context(), claim("lock/a", 1), claim("lock/b", 2))
	with := func(c fencing.Claim) context.Context { return fencing.NewContext(t.Context(), c) }
	for name, test := range map[string]struct {
		ctx  context.Context
		want error
	}{
		"none":             {t.Context(), fencing.ErrNoClaim},
		"no token":         {with(claim("lock/a", 0)), fencing.ErrNoClaim},
		"several":          {two, fencing.ErrAmbiguousClaim},
		"For another":      {fencing.For(two, "lock/c"), fencing.ErrNoClaim},
		"ended":            {with(claim("lock/a", 1).Bind(func() error { return errGone })), fencing.ErrEnded},
		"why it ended":     {with(claim("lock/a", 1).Bind(func() error { return errGone })), errGone},
		"not UTF-8":        {with(claim("lock/\xff", 1)), fencing.ErrBadClaim},
		"too long a field": {with(claim(strings.Repeat("a", 5000), 1)), fencing.ErrBadClaim},
	} {
		t.Run(name, func(t *testing.T) {
			var b base
			content := &body{Reader: strings.NewReader("x")}
			client := http.Client{Transport: httpfence.Transport(&b)}
			resp, err := client.Do(request(test.ctx, t, http.MethodPut, "http://svc.example/a", content))
			if err == nil {
				resp.Body.Close()
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if len(b.sent) > 0 || !content.closed {
				t.Errorf("%d requests were sent, the body was closed: %t", len(b.sent), content.closed)
			}
		})
	}
}

func TestARedirectTakesTheClaimToTheSameHostOnly(t *testing.T) {
	const token = `"7";resource="lock/a";mode=exclusive`
	for name, test := range map[string]struct {
		from, location string
		want           []string // the fields of what is sent
	}{
		"same host":       {"https://svc.example/a", "/b", []string{token, token}},
		"other case":      {"https://svc.example/a", "https://SVC.example/b", []string{token, token}},
		"to TLS":          {"http://svc.example/a", "https://svc.example/b", []string{token, token}},
		"other host":      {"https://svc.example/a", "https://evil.example/a", []string{token}},
		"subdomain":       {"https://svc.example/a", "https://x.svc.example/a", []string{token}},
		"parent":          {"https://svc.example/a", "https://example/a", []string{token}},
		"other port":      {"https://svc.example/a", "https://svc.example:8443/a", []string{token}},
		"away from TLS":   {"https://svc.example/a", "http://svc.example/a", []string{token}},
		"no longer HTTPS": {"https://svc.example/a", "ftp://svc.example/a", []string{token}},
	} {
		t.Run(name, func(t *testing.T) {
			b := base{location: test.location}
			client := http.Client{Transport: httpfence.Transport(&b)}
			ctx := fencing.NewContext(t.Context(), claim("lock/a", 7))
			resp, err := client.Do(request(ctx, t, http.MethodPut, test.from, strings.NewReader("x")))
			if err == nil {
				resp.Body.Close()
			}
			if got := b.tokens(); !slices.Equal(got, test.want) {
				t.Errorf("sent %q, want %q", got, test.want)
			}
			if refused := len(test.want) == 1; refused != (err != nil) {
				t.Errorf("got %v, want an error: %t", err, refused)
			}
		})
	}
}

func TestARedirectFromNobodyKnowsWhereIsRefused(t *testing.T) {
	var b base
	r := request(fencing.NewContext(t.Context(), claim("lock/a", 7)), t, http.MethodGet, "http://svc.example/a", nil)
	r.Response = &http.Response{}
	if resp, err := httpfence.Transport(&b).RoundTrip(r); err == nil || len(b.sent) > 0 {
		resp.Body.Close()
		t.Errorf("got %v with %d requests sent, want an error", err, len(b.sent))
	}
}

func TestWithoutABaseItIsTheDefaultTransport(t *testing.T) {
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get(httpfence.Header) }))
	defer srv.Close()
	client := http.Client{Transport: httpfence.Transport(nil)}
	defer client.CloseIdleConnections()
	resp, err := client.Do(request(fencing.NewContext(t.Context(), shared("lock/é", 7)), t, http.MethodGet, srv.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, want := <-got, `"7";resource=%"lock/%c3%a9";mode=shared`; got != want {
		t.Errorf("the server got %s, want %s", got, want)
	}
}

func TestWhatFailsBelowIsReturnedAsItIs(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	client := http.Client{Transport: httpfence.Transport(nil)}
	resp, err := client.Do(request(fencing.NewContext(t.Context(), claim("lock/a", 7)), t, http.MethodGet, srv.URL, nil))
	if err == nil {
		resp.Body.Close()
	}
	if _, ok := errors.AsType[*url.Error](err); !ok || errors.Is(err, fencing.ErrNoClaim) {
		t.Errorf("got %v, want the dialler's error", err)
	}
}
