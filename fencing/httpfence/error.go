package httpfence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/stile-dev/stile/fencing"
)

// maxProblem is the most of a refusal's body that is read. A guard's own has a kilobyte or two.
const maxProblem = 64 << 10

// Error returns why a guard refused the request that resp answers, and nil if no guard did: it
// says nothing of the handler's own refusals, so look at resp.StatusCode too. The errors are
//   - a *fencing.StaleError (412): somebody else has got the hold since, so stop;
//   - one that Is fencing.ErrShared (403): a write with a shared claim;
//   - one that Is fencing.ErrNoClaim (428): the request presented no claim on the resource that
//     it is about;
//   - one that Is fencing.ErrBadClaim (400): what it presented is no claim;
//   - another one: 404, the service guards nothing by that name; 503, its gate gave no answer (try
//     again after Retry-After); or a refusal that cannot be read.
//
// Whatever Error returns, the handler did nothing if a guard refused. resp.Body can be read from
// its beginning afterwards, and remains the caller's to close. The answer to a HEAD request has no
// body, so nothing of this is known of it but the status.
func Error(resp *http.Response) error {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || media != problemJSON || resp.Body == nil {
		return nil
	}
	read, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	resp.Body = body{Reader: io.MultiReader(bytes.NewReader(read), resp.Body), Closer: resp.Body}
	if err != nil {
		return fmt.Errorf("httpfence: a refusal (%d): %w", resp.StatusCode, err)
	}
	var named struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(read, &named) != nil {
		return nil
	}
	k, ok := kindOf(named.Type)
	if !ok || k.status != resp.StatusCode {
		return nil
	}
	return k.read(read)
}

// read is the error that the problem in text tells.
func (k kind) read(text []byte) error {
	var p problem
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("httpfence: a refusal (%d): %w", k.status, err)
	}
	if !errors.Is(k.err, fencing.ErrStale) {
		return fmt.Errorf("httpfence: %.80q: the service answered %d: %w", p.Resource, k.status, k.err)
	}
	if p.Resource == "" || p.Presented.IsZero() || p.Presented.Compare(p.Seen) >= 0 {
		return fmt.Errorf("httpfence: %.80q: a refusal (%d) that makes no sense: %v was presented, %v was seen",
			p.Resource, k.status, p.Presented, p.Seen)
	}
	return &fencing.StaleError{Resource: p.Resource, Seen: p.Seen, Presented: p.Presented}
}

type body struct {
	io.Reader
	io.Closer
}
