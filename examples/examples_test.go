// Package examples runs every example the way a reader would.
package examples

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// build builds an example. The build is not what a test's time is for.
func build(t *testing.T, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

func TestQuickstart(t *testing.T) {
	bin := build(t, "quickstart")
	want := regexp.MustCompile(`^holding lock/greeting with token \d+
written with token \d+ at revision \d+
released: the same write is refused
$`)
	for name, args := range map[string][]string{"own server": nil, "yours": {"-endpoint", recipestest.Endpoint(t)}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
			if err != nil || !want.Match(out) {
				t.Errorf("%v: got\n%s\nwant %s", err, out, want)
			}
		})
	}
}

// demo is a demoserver that runs.
type demo struct {
	cmd                  *exec.Cmd
	stdout               *bufio.Reader
	stderr               bytes.Buffer
	endpoint, page, file string
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	d := &demo{cmd: exec.CommandContext(ctx, build(t, "demoserver"))}
	d.cmd.Stderr = &d.stderr
	d.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() })
	d.stdout = bufio.NewReader(out)
	for d.endpoint == "" || d.page == "" || d.file == "" {
		line, err := d.stdout.ReadString('\n')
		if err != nil {
			t.Fatalf("it ended: %v %s", err, &d.stderr)
		}
		d.learn(line)
	}
	return d
}

var (
	endpointLine = regexp.MustCompile(`^etcd at (http://127\.0\.0\.1:\d+)\n`)
	pageLine     = regexp.MustCompile(`^page at (http://127\.0\.0\.1:\d+/)`)
	fileLine     = regexp.MustCompile(` -- tail (\S+)`)
)

func (d *demo) learn(line string) {
	for re, what := range map[*regexp.Regexp]*string{endpointLine: &d.endpoint, pageLine: &d.page, fileLine: &d.file} {
		if m := re.FindStringSubmatch(line); m != nil {
			*what = m[1]
		}
	}
}

// get fetches a page as a browser does that was told that the page is at host.
func get(t *testing.T, url, host string) (status int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestDemoserver(t *testing.T) {
	d := startDemo(t)
	d.showsTurnsAndRefusals(t)
	d.answersItsOwnHostOnly(t)
	d.letsOthersIn(t)
	d.stops(t)
}

var (
	holder  = regexp.MustCompile(`<b id="holder">token (\d+), process`)
	refused = regexp.MustCompile(`<b id="refused">[1-9]`)
)

func (d *demo) showsTurnsAndRefusals(t *testing.T) {
	t.Helper()
	deadline, tokens := time.Now().Add(20*time.Second), map[string]bool{}
	for range time.Tick(50 * time.Millisecond) {
		_, _, body := get(t, d.page, "")
		if m := holder.FindStringSubmatch(body); m != nil {
			tokens[m[1]] = true
		}
		if len(tokens) >= 3 && refused.MatchString(body) && strings.Contains(body, "cleo, turn") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d holders were seen; last page:\n%s", len(tokens), body)
		}
	}
}

func (d *demo) answersItsOwnHostOnly(t *testing.T) {
	t.Helper()
	if status, _, body := get(t, d.page, "evil.example"); status != http.StatusForbidden || strings.Contains(body, "holder") {
		t.Errorf("to another host: %d %s", status, body)
	}
	_, header, _ := get(t, d.page, "")
	if got := header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") {
		t.Errorf("Content-Security-Policy %q", got)
	}
	if status, _, _ := get(t, d.page+"favicon.ico", ""); status != http.StatusNotFound {
		t.Errorf("what isn't there: %d", status)
	}
}

// letsOthersIn stands in line from another process, under a name that is not harmless in HTML.
func (d *demo) letsOthersIn(t *testing.T) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{d.endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := session.Open(ctx, client, session.Labels(map[string]string{"user": "<script>alert(1)</script>"}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	err = lock.Do(ctx, s, "ledger", func(context.Context) error {
		_, _, body := get(t, d.page, "")
		if !strings.Contains(body, "&lt;script&gt;") || strings.Contains(body, "<script>") {
			t.Errorf("the label is not shown, or not escaped:\n%s", body)
		}
		return nil
	})
	if err != nil {
		t.Errorf("the lock, from another process: %v", err)
	}
}

func (d *demo) stops(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(d.stdout)
	if err := d.cmd.Wait(); err != nil || d.stderr.Len() > 0 {
		t.Errorf("%v, standard error: %s", err, &d.stderr)
	}
	if !regexp.MustCompile(`refused [1-9]\d* that came late`).Match(rest) {
		t.Errorf("last words: %s", rest)
	}
	left, err := os.ReadDir(filepath.Dir(filepath.Dir(d.file)))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
