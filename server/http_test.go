package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const putBody = `{"key":"aw==","value":"dg=="}` // k, v

type answer struct {
	status int
	body   string
	header http.Header
}

// send does what a browser or curl would: headers by name, "Host" sets the host.
func send(t *testing.T, method, url, body string, header map[string]string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	req.Host = header["Host"]
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(got), resp.Header}
}

func withHTTP(gateway bool) Config {
	cfg := quick()
	cfg.HTTPURL, cfg.HTTPGateway = "http://127.0.0.1:0", gateway
	return cfg
}

func TestTheGatewayIsOffByDefault(t *testing.T) {
	s := start(t, withHTTP(false))
	if got := send(t, "POST", s.HTTPEndpoint()+"/v3/kv/put", putBody, nil); got.status != http.StatusNotFound {
		t.Errorf("got %d %s, want 404", got.status, got.body)
	}
	if got := get(t, s.Client(), "k"); got != "" {
		t.Errorf("the key was written: %q", got)
	}
}

func TestTheClientPortSpeaksNoHTTP1(t *testing.T) {
	s := start(t, quick())
	if got := s.HTTPEndpoint(); got != "" {
		t.Errorf("HTTPEndpoint() = %q, want none", got)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.Endpoints()[0], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 29\r\n\r\n"+putBody); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	got, _ := io.ReadAll(conn)
	if strings.Contains(string(got), "HTTP/1") {
		t.Errorf("got an answer: %q", got)
	}
}

func TestTheGatewayServesItsOwnOriginOnly(t *testing.T) {
	s := start(t, withHTTP(true))
	own := s.HTTPEndpoint()
	for _, test := range []struct {
		name   string
		header map[string]string
		want   int
	}{
		{"curl", nil, 200},
		{"its own page", map[string]string{"Origin": own, "Sec-Fetch-Site": "same-origin"}, 200},
		{"localhost", map[string]string{"Host": "localhost:1234"}, 200},
		{"a foreign page, old browser", map[string]string{"Origin": "http://evil.example", "Content-Type": "text/plain"}, 403},
		{"a foreign page", map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}, 403},
		{"a page of another port", map[string]string{"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site", "Content-Type": "text/plain"}, 403},
		{"a file or sandbox", map[string]string{"Origin": "null", "Content-Type": "text/plain"}, 403},
		{"a rebound name", map[string]string{"Host": "evil.example"}, 421},
		{"a rebound name, same origin", map[string]string{"Host": "evil.example:80", "Origin": "http://evil.example:80", "Sec-Fetch-Site": "same-origin"}, 421},
		{"a name like ours", map[string]string{"Host": "127.0.0.1.evil.example"}, 421},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := s.Client().Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			got := send(t, "POST", own+"/v3/kv/put", putBody, test.header)
			if got.status != test.want {
				t.Errorf("got %d %s, want %d", got.status, got.body, test.want)
			}
			if written := get(t, s.Client(), "k") == "v"; written != (test.want == 200) {
				t.Errorf("written: %v", written)
			}
			for name := range got.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("header %s: %q", name, got.header.Get(name))
				}
			}
		})
	}
	got := send(t, "OPTIONS", own+"/v3/kv/put", "", map[string]string{"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
	if got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight is allowed: %v", got.header)
	}
}

func TestTheGatewayLimitsBodies(t *testing.T) {
	cfg := withHTTP(true)
	cfg.MaxRequestBytes = 1000
	s := start(t, cfg)
	got := send(t, "POST", s.HTTPEndpoint()+"/v3/kv/put", `{"key":"`+strings.Repeat("aaaa", 1<<16)+`"}`, nil)
	if got.status != http.StatusBadRequest || !strings.Contains(got.body, "http: request body too large") {
		t.Errorf("got %d %s, want 400: etcd itself must not see it", got.status, got.body)
	}
}

func TestAWatchThroughTheGatewayDoesNotHoldUpClose(t *testing.T) {
	s := start(t, withHTTP(true))
	resp, err := http.Post(s.HTTPEndpoint()+"/v3/watch", "application/json", strings.NewReader(`{"create_request":{"key":"aw=="}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatalf("no answer: %v", err)
	}
	began := time.Now()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > drainTimeout/2 {
		t.Errorf("Close took %v", took)
	}
}

func TestMetricsHealthAndVersionAreServedBehindTheHostCheck(t *testing.T) {
	s := start(t, withHTTP(false))
	for path, want := range map[string]string{"/metrics": "etcd_server_has_leader", "/health": `"health":"true"`, "/version": "etcdserver", "/readyz": "ok", "/livez": "ok"} {
		if got := send(t, "GET", s.HTTPEndpoint()+path, "", nil); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: got %d, want 200 with %s", path, got.status, want)
		}
		if got := send(t, "GET", s.HTTPEndpoint()+path, "", map[string]string{"Host": "evil.example"}); got.status != http.StatusMisdirectedRequest {
			t.Errorf("%s with a foreign Host: got %d, want 421", path, got.status)
		}
	}
	for _, path := range []string{"/debug/vars", "/debug/pprof/", "/"} {
		if got := send(t, "GET", s.HTTPEndpoint()+path, "", nil); got.status != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, got.status)
		}
	}
}

func TestEtcdsRecipesAreRefused(t *testing.T) {
	s := start(t, withHTTP(true))
	put(t, s.Client(), "k", "v")
	conn := dial(t, clientv3.Config{Endpoints: s.Endpoints()}).ActiveConnection()
	_, err := v3lockpb.NewLockClient(conn).Unlock(t.Context(), &v3lockpb.UnlockRequest{Key: []byte("k")})
	assertUnimplemented(t, "Unlock", err)
	observe, err := v3electionpb.NewElectionClient(conn).Observe(t.Context(), &v3electionpb.LeaderRequest{Name: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = observe.Recv()
	assertUnimplemented(t, "Observe", err)
	for _, path := range []string{"/v3/lock/lock", "/v3/lock/unlock", "/v3/election/campaign", "/v3/election/resign"} {
		got := send(t, "POST", s.HTTPEndpoint()+path, `{"key":"aw==","name":"aw=="}`, nil)
		if got.status != http.StatusNotImplemented || !strings.Contains(got.body, "EtcdRecipes") {
			t.Errorf("%s: got %d %s, want 501 that names EtcdRecipes", path, got.status, got.body)
		}
	}
	if got := get(t, s.Client(), "k"); got != "v" {
		t.Errorf("the key is gone: %q", got)
	}
}

func assertUnimplemented(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "EtcdRecipes") {
		t.Errorf("%s: %v, want Unimplemented that names EtcdRecipes", what, err)
	}
}

func TestEtcdsRecipesCanBeSwitchedOn(t *testing.T) {
	cfg := withHTTP(true)
	cfg.EtcdRecipes = true
	s := start(t, cfg)
	put(t, s.Client(), "k", "v")
	conn := dial(t, clientv3.Config{Endpoints: s.Endpoints()}).ActiveConnection()
	if _, err := v3lockpb.NewLockClient(conn).Unlock(t.Context(), &v3lockpb.UnlockRequest{Key: []byte("k")}); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	if got := send(t, "POST", s.HTTPEndpoint()+"/v3/lock/unlock", `{"key":"aw=="}`, nil); got.status != 200 {
		t.Errorf("unlock through the gateway: got %d %s", got.status, got.body)
	}
}
