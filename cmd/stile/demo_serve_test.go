//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stile-dev/stile/cmd/stile/internal/demo"
)

// served starts demo --serve and waits until it is ready.
func served(t *testing.T, tmp string) (*process, demo.Event) {
	t.Helper()
	p := start(t, []string{"TMPDIR=" + tmp}, "demo", "--serve", "--json")
	var ready demo.Event
	if err := json.Unmarshal([]byte(p.line(t, `"event":"ready"`)), &ready); err != nil {
		t.Fatal(err)
	}
	return p, ready
}

// answer is what came of a request.
type answer struct {
	code   int
	header http.Header
	body   string
}

// get asks for url as a browser would that thinks it talks to host; "" is the url's own.
func get(t *testing.T, url, host string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

type pageState struct {
	Lock struct {
		Holder *struct{ PID int }
	}
	Plain, Fenced []demo.Entry
	Count         int `json:"refused_count"`
}

func TestDemoServesItsPageUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	p, ready := served(t, tmp)
	page := get(t, ready.Page, "")
	if page.code != http.StatusOK || !strings.Contains(page.body, "One lock, two ledgers") || strings.Contains(page.body, "<script>") {
		t.Errorf("the page: %d, %q", page.code, page.body)
	}
	csp := page.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") || page.header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("its headers: %v", page.header)
	}
	for _, file := range []string{"page.js", "page.css"} {
		if a := get(t, ready.Page+file, ""); a.code != http.StatusOK {
			t.Errorf("%s: %d", file, a.code)
		}
	}
	until(t, "a late write is refused", func() bool {
		var s pageState
		body := get(t, ready.Page+"state", "").body
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatalf("state %q: %v", body, err)
		}
		return s.Count > 0 && len(s.Fenced) > 0 && len(s.Plain) > 0
	})
	if r := stile(t, nil, "ls", "--endpoint", ready.Endpoint); r.code != 0 {
		t.Errorf("ls: %v", r)
	}
	p.signal(t, os.Interrupt)
	if code := p.code(t); code != 0 || p.stderr.String() != "" {
		t.Errorf("exit %d, %q; want 0 and nothing", code, p.stderr)
	}
	nothingLeft(t, tmp, events(t, p.stdout.String()))
}

func TestDemoRefusesForeignHosts(t *testing.T) {
	t.Parallel()
	p, ready := served(t, t.TempDir())
	for _, path := range []string{"", "page.js", "state"} {
		for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1"} {
			if a := get(t, ready.Page+path, host); a.code != http.StatusMisdirectedRequest || strings.Contains(a.body, "token") {
				t.Errorf("/%s for host %s: %d, %q; want it refused", path, host, a.code, a.body)
			}
		}
	}
	local := strings.Replace(strings.Trim(strings.TrimPrefix(ready.Page, "http://"), "/"), "127.0.0.1", "localhost", 1)
	if a := get(t, ready.Page, local); a.code != http.StatusOK {
		t.Errorf("for host %s: %d", local, a.code)
	}
	p.signal(t, os.Interrupt)
	p.code(t)
}

// Names come from whoever reaches etcd, so nothing in the page may make markup of text.
func TestPageMakesNoMarkupOfText(t *testing.T) {
	script, err := os.ReadFile("internal/demo/page/page.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setAttribute"} {
		if strings.Contains(string(script), way) {
			t.Errorf("page.js uses %s", way)
		}
	}
}
