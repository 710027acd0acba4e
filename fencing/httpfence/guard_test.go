package httpfence_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/httpfence"
)

func always(*http.Request) bool { return true }

// byPath is a service's own way to say what a request is about.
func byPath(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }

// counter is a handler that counts.
type counter struct{ n int }

func (c *counter) ServeHTTP(http.ResponseWriter, *http.Request) { c.n++ }

// ask sends the fields to a guard of gate before a handler, and wants that the handler runs when the
// answer is 200 and not otherwise.
func ask(t *testing.T, gate fencing.Gate, method, path string, fields []string, opts ...httpfence.Option) *http.Response {
	t.Helper()
	var handler counter
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Header[httpfence.Header] = fields
	w := httptest.NewRecorder()
	httpfence.Guard(gate, byPath, opts...)(&handler).ServeHTTP(w, r)
	resp := w.Result()
	if ran := handler.n == 1; ran != (resp.StatusCode == http.StatusOK) {
		t.Errorf("the handler ran %d times, the answer is %d", handler.n, resp.StatusCode)
	}
	if got := resp.Header["Vary"]; len(got) != 1 || got[0] != httpfence.Header {
		t.Errorf("Vary: got %q, want %s", got, httpfence.Header)
	}
	return resp
}

func fields(values ...string) []string { return values }

const (
	seven  = `"7";resource="lock/a";mode=exclusive`
	nine   = `"9";resource="lock/a";mode=exclusive`
	reader = `"8";resource="lock/a";mode=shared`
)

func TestRefusalsAreProblems(t *testing.T) {
	const base = "https://github.com/stile-dev/stile/fencing/httpfence#"
	for name, test := range map[string]struct {
		method, path string
		fields       []string
		want         map[string]any
		is           error
	}{
		"stale": {"PUT", "/lock/a", fields(seven), map[string]any{
			"type": base + "stale", "title": "Stale fencing token", "status": 412.,
			"detail":   `fencing "lock/a": stale fencing token: 7 was presented, 8 was seen`,
			"resource": "lock/a", "seen": "8", "presented": "7",
		}, fencing.ErrStale},
		"shared": {"POST", "/lock/a", fields(reader), map[string]any{
			"type": base + "shared", "title": "A shared claim does not allow this", "status": 403.,
			"detail": `fencing "lock/a": a shared claim does not allow this`, "resource": "lock/a",
		}, fencing.ErrShared},
		"none": {"GET", "/lock/a", nil, map[string]any{
			"type": base + "no-claim", "title": "A claim on the resource is required", "status": 428.,
			"detail": "fencing: no claim in the context: no field Fencing-Token", "resource": "lock/a",
		}, fencing.ErrNoClaim},
		"on another": {"PUT", "/lock/b", fields(nine), map[string]any{
			"type": base + "no-claim", "title": "A claim on the resource is required", "status": 428.,
			"detail":   `fencing "lock/b": no claim in the context: a claim on "lock/a" was presented`,
			"resource": "lock/b",
		}, fencing.ErrNoClaim},
		"malformed": {"PUT", "/lock/a", fields(`9`), map[string]any{
			"type": base + "bad-claim", "title": "Not a claim", "status": 400.,
			"detail": `fencing: bad claim: "9" is not the canonical text of a claim`, "resource": "lock/a",
		}, fencing.ErrBadClaim},
		"twice": {"PUT", "/lock/a", fields(nine, nine), map[string]any{
			"type": base + "bad-claim", "title": "Not a claim", "status": 400.,
			"detail": "fencing: bad claim: 2 fields Fencing-Token, want one", "resource": "lock/a",
		}, fencing.ErrBadClaim},
		"two in one": {"PUT", "/lock/a", fields(`"9";resource="x";mode=shared, ` + nine), map[string]any{
			"type": base + "bad-claim", "title": "Not a claim", "status": 400., "resource": "lock/a",
			"detail": `fencing: bad claim: "\"9\";resource=\"x\";mode=shared, \"9\";resource=\"lock/a\";mode=exclusive" is not the canonical text of a claim`,
		}, fencing.ErrBadClaim},
		"too long": {"PUT", "/lock/a", fields(`"9";resource="` + strings.Repeat("a", 1<<20) + `";mode=exclusive`), map[string]any{
			"type": base + "bad-claim", "title": "Not a claim", "status": 400., "resource": "lock/a",
			"detail": "fencing: bad claim: 1048606 bytes of text, the most is 4096",
		}, fencing.ErrBadClaim},
		"about nothing": {"PUT", "/", fields(nine), map[string]any{
			"type": base + "unknown", "title": "Nothing is guarded here by that name", "status": 404.,
			"detail": "fencing: nothing is guarded here by that name",
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var gate fencing.Memory
			if err := gate.Seal(fencing.NewContext(t.Context(), shared("lock/a", 8))); err != nil {
				t.Fatal(err)
			}
			resp := ask(t, &gate, test.method, test.path, test.fields)
			defer resp.Body.Close()
			if got, want := resp.Header.Get("Content-Type"), "application/problem+json"; got != want || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("Content-Type: got %s, want %s; Cache-Control: %s", got, want, resp.Header.Get("Cache-Control"))
			}
			if err := httpfence.Error(resp); err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Error: got %v, want %v", err, test.is)
			}
			var got map[string]any
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
				t.Fatalf("the body, after Error has read it: %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || float64(resp.StatusCode) != test.want["status"] {
				t.Errorf("%d: %s", resp.StatusCode, diff)
			}
			if seen := gate.Seen("lock/a"); seen != fencing.FromRevision(8) || !gate.Seen("lock/b").IsZero() {
				t.Errorf("a refused request was remembered: %v", seen)
			}
		})
	}
}

// calls is a gate that says which of its methods was called.
type calls struct{ err error }

func (c *calls) Check(context.Context) error     { return c.said("Check") }
func (c *calls) CheckRead(context.Context) error { return c.said("CheckRead") }
func (c *calls) Seal(context.Context) error      { return c.said("Seal") }

func (c *calls) said(name string) error {
	c.err = errors.Join(c.err, errors.New(name))
	return nil
}

func TestAMethodDecidesWhatIsAsked(t *testing.T) {
	for name, test := range map[string]struct {
		methods string
		opts    []httpfence.Option
		want    string
	}{
		"safe":         {"GET HEAD OPTIONS TRACE", nil, "CheckRead"},
		"unsafe":       {"POST PUT PATCH DELETE CONNECT QUERY get", nil, "Check"},
		"reads":        {"GET POST", []httpfence.Option{httpfence.Reads(always)}, "CheckRead"},
		"reads not":    {"GET POST", []httpfence.Option{httpfence.Reads(func(*http.Request) bool { return false })}, "Check"},
		"seals":        {"GET POST", []httpfence.Option{httpfence.Seals(always)}, "Seal"},
		"seals, reads": {"GET POST", []httpfence.Option{httpfence.Seals(always), httpfence.Reads(always)}, "Seal"},
	} {
		t.Run(name, func(t *testing.T) {
			for method := range strings.FieldsSeq(test.methods) {
				var gate calls
				ask(t, &gate, method, "/lock/a", fields(nine), test.opts...).Body.Close()
				if gate.err == nil || gate.err.Error() != test.want {
					t.Errorf("%s: got %v, want %s, once", method, gate.err, test.want)
				}
			}
		})
	}
}

func TestTheHandlersContextCarriesThatClaimAlone(t *testing.T) {
	var gate fencing.Memory
	got := make(chan []fencing.Claim, 1)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- fencing.Claims(r.Context()) })
	srv := httptest.NewUnstartedServer(httpfence.Guard(&gate, byPath)(handler))
	srv.Config.BaseContext = func(net.Listener) context.Context {
		return fencing.NewContext(context.Background(), claim("lock/a", 99), claim("lock/service", 3)) // what the service itself holds
	}
	srv.Start()
	defer srv.Close()
	client := http.Client{Transport: httpfence.Transport(nil)}
	defer client.CloseIdleConnections()
	held := claim("lock/a", 7)
	held.Key = "/stile/v1/lock/a"
	resp, err := client.Do(request(fencing.NewContext(t.Context(), held), t, http.MethodPut, srv.URL+"/lock/a", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := httpfence.Error(resp); err != nil {
		t.Fatal(err)
	}
	if got := <-got; len(got) != 1 || got[0].Resource != "lock/a" || got[0].Token != fencing.FromRevision(7) || got[0].Key != "" {
		t.Errorf("got %+v, want the claim that was presented, without its key", got)
	}
}

type broken struct{ fencing.Gate }

func (broken) Check(context.Context) error {
	return errors.New("dial tcp 10.0.0.7:5432: password of user stile is wrong")
}

func TestAGateThatFailsLetsNothingThrough(t *testing.T) {
	var log strings.Builder
	resp := ask(t, broken{}, http.MethodPut, "/lock/a", fields(nine), httpfence.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d, Retry-After %s, want 503, 1", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if err := httpfence.Error(resp); err == nil || errors.Is(err, fencing.ErrStale) {
		t.Errorf("Error: got %v, want one that says nothing of a claim", err)
	}
	told, err := io.ReadAll(resp.Body)
	if err != nil || strings.Contains(string(told), "password") || !strings.Contains(string(told), "nothing was done") {
		t.Errorf("the client was told %s, %v", told, err)
	}
	if logged := log.String(); !strings.Contains(logged, "level=ERROR") || !strings.Contains(logged, "password") {
		t.Errorf("logged: %s", logged)
	}
}

// A larger token is admitted between the guard's check and the handler's own, which is in the same step as
// the write.
func TestAHandlerRefusesAsItsGuardDoes(t *testing.T) {
	var gate fencing.Memory
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := gate.Seal(fencing.NewContext(context.Background(), claim("lock/a", 9))); err != nil {
			t.Error(err)
		}
		err := gate.Do(r.Context(), func() error { t.Error("a stale write ran"); return nil })
		if !httpfence.Refuse(w, r, err) {
			t.Errorf("%v was not told", err)
		}
	})
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/lock/a", nil)
	r.Header.Set(httpfence.Header, seven)
	httpfence.Guard(&gate, byPath)(handler).ServeHTTP(w, r)
	resp := w.Result()
	defer resp.Body.Close()
	stale, ok := errors.AsType[*fencing.StaleError](httpfence.Error(resp))
	if !ok || stale.Resource != "lock/a" || stale.Seen != fencing.FromRevision(9) || resp.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("got %d, %v, want 412 and a StaleError", resp.StatusCode, stale)
	}
}

func TestRefuseLeavesOtherErrorsToTheHandler(t *testing.T) {
	nine := fencing.NewContext(t.Context(), claim("lock/a", 9))
	elsewhere := &fencing.StaleError{Resource: "lock/service", Seen: fencing.FromRevision(9), Presented: fencing.FromRevision(7)}
	here := &fencing.StaleError{Resource: "lock/a", Seen: fencing.FromRevision(9), Presented: fencing.FromRevision(7)}
	for name, test := range map[string]struct {
		ctx context.Context
		err error
	}{
		"none": {nine, nil}, "any": {nine, errGone}, "the end": {nine, context.Canceled},
		"a mistake": {nine, fencing.ErrNoClaim}, "another claim": {nine, elsewhere}, "another mode": {nine, fencing.ErrShared},
		"no guard": {t.Context(), here},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(test.ctx, http.MethodPut, "/", nil)
		if httpfence.Refuse(w, r, test.err) || len(w.Header()) > 0 || w.Body.Len() > 0 {
			t.Errorf("%s: %v was told: %d %s", name, test.err, w.Code, w.Body)
		}
	}
}

func TestRefusalsAreLogged(t *testing.T) {
	var log strings.Builder
	var gate fencing.Memory
	ask(t, &gate, http.MethodPut, "/lock/a", nil, httpfence.Logger(slog.New(slog.NewTextHandler(&log, nil)))).Body.Close()
	for _, want := range []string{"level=WARN", "method=PUT", "resource=lock/a", "status=428"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in %s", want, &log)
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	var gate fencing.Memory
	var handler counter
	guarded := httpfence.Guard(&gate, byPath)(&handler)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPut, "/lock/a", nil)
	r.Header.Set(httpfence.Header, nine)
	w := nobody{}
	b.ReportAllocs()
	for b.Loop() {
		clear(w)
		guarded.ServeHTTP(w, r)
	}
	if handler.n != b.N {
		b.Fatalf("%d of %d requests came through", handler.n, b.N)
	}
}

// nobody is a ResponseWriter that costs little.
type nobody http.Header

func (n nobody) Header() http.Header       { return http.Header(n) }
func (nobody) Write(b []byte) (int, error) { return len(b), nil }
func (nobody) WriteHeader(int)             {}
