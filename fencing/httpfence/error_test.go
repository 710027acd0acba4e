package httpfence_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/httpfence"
)

const staleBody = `{"type":"https://github.com/stile-dev/stile/fencing/httpfence#stale","status":412,"resource":"lock/a","seen":"9","presented":"7"}`

// answer is one that a service gave, and nothing to close.
type answer struct {
	status int
	media  string
	body   io.Reader
}

func (a answer) response() *http.Response {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {a.media}}, Body: io.NopCloser(a.body)}
}

// refusal is the error that httpfence reads in an answer.
func (a answer) refusal() error {
	resp := a.response()
	defer resp.Body.Close()
	return httpfence.Error(resp)
}

func TestAStaleAnswerIsAStaleError(t *testing.T) {
	for _, media := range []string{"application/problem+json", "Application/Problem+JSON; charset=utf-8"} {
		resp := answer{412, media, strings.NewReader(staleBody)}.response()
		defer resp.Body.Close()
		stale, ok := errors.AsType[*fencing.StaleError](httpfence.Error(resp))
		if want := (fencing.StaleError{Resource: "lock/a", Seen: fencing.FromRevision(9), Presented: fencing.FromRevision(7)}); !ok || *stale != want {
			t.Errorf("%s: got %+v, want %+v", media, stale, want)
		}
		if again := httpfence.Error(resp); !errors.Is(again, fencing.ErrStale) {
			t.Errorf("asked twice: got %v", again)
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != staleBody {
			t.Errorf("the body afterwards: %s, %v", rest, err)
		}
	}
}

func TestOtherAnswersAreNoRefusals(t *testing.T) {
	for name, a := range map[string]answer{
		"empty body":      {412, "application/problem+json", strings.NewReader("")},
		"not a failure":   {200, "application/problem+json", strings.NewReader(staleBody)},
		"other status":    {409, "application/problem+json", strings.NewReader(staleBody)},
		"other media":     {412, "application/json", strings.NewReader(staleBody)},
		"no media":        {412, "", strings.NewReader(staleBody)},
		"not JSON":        {412, "application/problem+json", strings.NewReader("<html>")},
		"an array":        {412, "application/problem+json", strings.NewReader("[" + staleBody + "]")},
		"another problem": {412, "application/problem+json", strings.NewReader(strings.Replace(staleBody, "#stale", "#etag", 1))},
		"no type":         {412, "application/problem+json", strings.NewReader(`{"resource":"lock/a","seen":"9","presented":"7"}`)},
		"endless":         {412, "application/problem+json", endless{}},
	} {
		if err := a.refusal(); err != nil {
			t.Errorf("%s: got %v, want nil", name, err)
		}
	}
	bare := &http.Response{StatusCode: http.StatusPreconditionFailed, Header: http.Header{"Content-Type": {"application/problem+json"}}}
	if err := httpfence.Error(bare); err != nil {
		t.Errorf("no body: got %v, want nil", err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte(" "), len(b))), nil }

func TestARefusalThatMakesNoSenseIsStillAnError(t *testing.T) {
	for name, text := range map[string]string{
		"no resource":       strings.Replace(staleBody, `"lock/a"`, `""`, 1),
		"seen is smaller":   strings.Replace(staleBody, `"9"`, `"6"`, 1),
		"seen is equal":     strings.Replace(staleBody, `"9"`, `"7"`, 1),
		"seen is a number":  strings.Replace(staleBody, `"9"`, `9`, 1),
		"seen is no token":  strings.Replace(staleBody, `"9"`, `"09"`, 1),
		"nothing seen":      strings.Replace(staleBody, `"seen":"9",`, ``, 1),
		"nothing presented": strings.Replace(staleBody, `"7"`, `"0"`, 1),
	} {
		err := answer{412, "application/problem+json", strings.NewReader(text)}.refusal()
		if err == nil || errors.Is(err, fencing.ErrStale) {
			t.Errorf("%s: got %v, want an error that is not ErrStale", name, err)
		}
	}
	cut := io.MultiReader(strings.NewReader(staleBody[:30]), iotest.ErrReader(errGone))
	if err := (answer{412, "application/problem+json", cut}).refusal(); !errors.Is(err, errGone) {
		t.Errorf("cut off: got %v, want the reason", err)
	}
}

func FuzzError(f *testing.F) {
	f.Add(412, []byte(staleBody))
	f.Add(428, []byte(`{"type":"https://github.com/stile-dev/stile/fencing/httpfence#no-claim","resource":"a"}`))
	f.Add(412, []byte(`{"type":7}`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		resp := answer{status, "application/problem+json", bytes.NewReader(text)}.response()
		defer resp.Body.Close()
		err := httpfence.Error(resp)
		if stale, ok := errors.AsType[*fencing.StaleError](err); ok != errors.Is(err, fencing.ErrStale) ||
			ok && (status != 412 || stale.Resource == "" || stale.Presented.IsZero() || stale.Presented.Compare(stale.Seen) >= 0) {
			t.Fatalf("%d %s: got %v", status, text, err)
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(rest, text) {
			t.Fatalf("the body afterwards: %s, %v, want %s", rest, err, text)
		}
	})
}
