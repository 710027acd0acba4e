package demo

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

func post(t *testing.T, h http.HandlerFunc, claim, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set(claimHeader, claim)
	w := httptest.NewRecorder()
	h(w, r)
	return w
}

func claimOf(t *testing.T, resource string, rev int64) string {
	t.Helper()
	text, err := json.Marshal(fencing.Claim{Resource: resource, Token: fencing.FromRevision(rev)})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestGateTakesRisingTokensAlone(t *testing.T) {
	g := &gate{ledgers: &ledgers{dir: t.TempDir()}}
	for i, c := range []struct {
		rev  int64
		want int
	}{{5, 204}, {5, 204}, {9, 204}, {5, 412}, {8, 412}, {9, 204}} {
		if got := post(t, g.write, claimOf(t, resource, c.rev), `{"text":"x","token":"99"}`).Code; got != c.want {
			t.Errorf("%d: token %d: %d, want %d", i, c.rev, got, c.want)
		}
	}
	entries, err := readLines(g.ledgers.fenced())
	if err != nil || len(entries) != 4 || entries[3].Token != fencing.FromRevision(9) {
		t.Errorf("the ledger: %v, %v; want 4 lines under the tokens that were checked", entries, err)
	}
	if last, n := g.refusals(); n != 2 || last[1].Presented != fencing.FromRevision(8) || last[1].Seen != fencing.FromRevision(9) {
		t.Errorf("refused: %v, %d", last, n)
	}
}

func TestGateIsForTheDemosOwnWorkers(t *testing.T) {
	g := &gate{ledgers: &ledgers{dir: t.TempDir()}, secret: "known"}
	for _, path := range []string{"/seal", "/ledger"} {
		for secret, want := range map[string]int{"": 403, "guessed": 403, "known": 204} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{}"))
			r.Header.Set(claimHeader, claimOf(t, resource, 5))
			r.Header.Set(secretHeader, secret)
			w := httptest.NewRecorder()
			g.handler().ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s with %q: %d, want %d", path, secret, w.Code, want)
			}
		}
	}
}

func TestSealRefusesEarlierHoldersBeforeTheFirstLine(t *testing.T) {
	g := &gate{ledgers: &ledgers{dir: t.TempDir()}}
	if got := post(t, g.seal, claimOf(t, resource, 9), "").Code; got != http.StatusNoContent {
		t.Errorf("seal: %d", got)
	}
	if got := post(t, g.write, claimOf(t, resource, 5), "{}").Code; got != http.StatusPreconditionFailed {
		t.Errorf("an earlier holder's line: %d, want 412", got)
	}
}

func TestGateWantsAClaimAndASmallEntry(t *testing.T) {
	g := &gate{ledgers: &ledgers{dir: t.TempDir()}}
	good := claimOf(t, resource, 5)
	for what, c := range map[string]struct{ claim, body string }{
		"no claim":         {"", "{}"},
		"no token":         {`{"resource":"` + resource + `"}`, "{}"},
		"another resource": {claimOf(t, "lock/other", 5), "{}"},
		"no JSON":          {good, "x"},
		"too large":        {good, `{"text":"` + strings.Repeat("x", maxEntry) + `"}`},
	} {
		if got := post(t, g.write, c.claim, c.body).Code; got != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", what, got)
		}
	}
	if entries, err := readLines(g.ledgers.fenced()); err != nil || len(entries) > 0 {
		t.Errorf("the ledger: %v, %v; want it empty", entries, err)
	}
}

func TestLedgerIsReadFromItsEndAndInWholeLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	if entries, err := readLines(path); err != nil || entries != nil {
		t.Errorf("no ledger yet: %v, %v", entries, err)
	}
	const all = 2000
	for i := range all {
		if err := appendLine(path, Entry{Token: fencing.FromRevision(int64(i + 1)), Text: strings.Repeat("x", 100)}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := readLines(path)
	if err != nil || len(entries) == 0 || len(entries) >= all || entries[len(entries)-1].Token != fencing.FromRevision(all) {
		t.Fatalf("%d entries, %v; want the last ones of %d", len(entries), err, all)
	}
}

func TestAnEntryIsOneLineWhateverItsText(t *testing.T) {
	line, err := json.Marshal(Entry{Text: "a\nb\u2028c"})
	if err != nil || bytes.ContainsAny(line, "\n\r") {
		t.Errorf("%q, %v", line, err)
	}
}
