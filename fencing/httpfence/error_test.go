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

func answerOf(status int, media string, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(body)}
}

func TestAStaleAnswerIsAStaleError(t *testing.T) {
	for _, media := range []string{"application/problem+json", "Application/Problem+JSON; charset=utf-8"} {
		resp := answerOf(412, media, strings.NewReader(staleBody))
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
	for name, resp := range map[string]*http.Response{
		"no body":         {StatusCode: 412, Header: http.Header{"Content-Type": {"application/problem+json"}}},
		"empty body":      answerOf(412, "application/problem+json", strings.NewReader("")),
		"not a failure":   answerOf(200, "application/problem+json", strings.NewReader(staleBody)),
		"other status":    answerOf(409, "application/problem+json", strings.NewReader(staleBody)),
		"other media":     answerOf(412, "application/json", strings.NewReader(staleBody)),
		"no media":        answerOf(412, "", strings.NewReader(staleBody)),
		"not JSON":        answerOf(412, "application/problem+json", strings.NewReader("<html>")),
		"an array":        answerOf(412, "application/problem+json", strings.NewReader("["+staleBody+"]")),
		"another problem": answerOf(412, "application/problem+json", strings.NewReader(strings.Replace(staleBody, "#stale", "#etag", 1))),
		"no type":         answerOf(412, "application/problem+json", strings.NewReader(`{"resource":"lock/a","seen":"9","presented":"7"}`)),
		"endless":         answerOf(412, "application/problem+json", endless{}),
	} {
		if err := httpfence.Error(resp); err != nil {
			t.Errorf("%s: got %v, want nil", name, err)
		}
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
		err := httpfence.Error(answerOf(412, "application/problem+json", strings.NewReader(text)))
		if err == nil || errors.Is(err, fencing.ErrStale) {
			t.Errorf("%s: got %v, want an error that is not ErrStale", name, err)
		}
	}
	cut := io.MultiReader(strings.NewReader(staleBody[:30]), iotest.ErrReader(errGone))
	if err := httpfence.Error(answerOf(412, "application/problem+json", cut)); !errors.Is(err, errGone) {
		t.Errorf("cut off: got %v, want the reason", err)
	}
}

func FuzzError(f *testing.F) {
	f.Add(412, []byte(staleBody))
	f.Add(428, []byte(`{"type":"https://github.com/stile-dev/stile/fencing/httpfence#no-claim","resource":"a"}`))
	f.Add(412, []byte(`{"type":7}`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		resp := answerOf(status, "application/problem+json", bytes.NewReader(text))
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
