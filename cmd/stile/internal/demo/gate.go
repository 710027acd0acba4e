package demo

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/fencing"
)

// claimHeader carries the claim under which a line is written.
const claimHeader = "Stile-Claim"

// secretHeader carries what only this demo's workers know: others on this machine reach the gate, too.
const secretHeader = "Stile-Demo-Secret"

const maxEntry = 4 << 10

// gate guards the fenced ledger: whoever writes to it presents a claim, and is refused if a later one was seen.
type gate struct {
	ledgers *ledgers
	secret  string
	open    bool // for the test of the demo: nothing is refused

	http   *loopback
	memory fencing.Memory

	mu      sync.Mutex
	refused []refusal // the last ones
	count   int
}

// refusal is a write that the gate did not let through.
type refusal struct {
	Entry     Entry         `json:"entry"`
	Seen      fencing.Token `json:"seen"`
	Presented fencing.Token `json:"presented"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused: token %s, after %s was seen", r.Presented, r.Seen)
}

func newGate(open bool) func(fx.Lifecycle, *ledgers) *gate {
	return func(lc fx.Lifecycle, l *ledgers) *gate {
		g := &gate{ledgers: l, secret: rand.Text(), open: open}
		lc.Append(fx.StartStopHook(
			func(ctx context.Context) (err error) {
				g.http, err = listen(ctx, g.handler())
				return err
			},
			func() error { return g.http.close() },
		))
		return g
	}
}

func (g *gate) url() string { return g.http.url() }

func (g *gate) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ledger", g.write)
	mux.HandleFunc("POST /seal", g.seal)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get(secretHeader)), []byte(g.secret)) != 1 {
			http.Error(w, "for the demo's own workers", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (g *gate) write(w http.ResponseWriter, r *http.Request) {
	claim, ok := presented(w, r)
	if !ok {
		return
	}
	var e Entry
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEntry)).Decode(&e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.Token = claim.Token // what was checked is what is written
	g.answer(w, e, g.admit(fencing.NewContext(r.Context(), claim), e))
}

// seal admits a new holder: from then on no line of an earlier one is taken, even before the first of its own.
func (g *gate) seal(w http.ResponseWriter, r *http.Request) {
	claim, ok := presented(w, r)
	if !ok {
		return
	}
	var err error
	if !g.open {
		err = g.memory.Seal(fencing.NewContext(r.Context(), claim))
	}
	g.answer(w, Entry{Text: "seal"}, err)
}

// presented is the claim that comes with a request, if it is one on what the ledger belongs to.
func presented(w http.ResponseWriter, r *http.Request) (fencing.Claim, bool) {
	var claim fencing.Claim
	err := json.Unmarshal([]byte(r.Header.Get(claimHeader)), &claim)
	if err != nil || claim.Resource != resource || claim.Token.IsZero() {
		http.Error(w, "want a claim on "+resource+" in the header "+claimHeader, http.StatusBadRequest)
		return claim, false
	}
	return claim, true
}

// admit appends the entry in the same step as the claim is checked.
func (g *gate) admit(ctx context.Context, e Entry) error {
	write := func() error { return appendLine(g.ledgers.fenced(), e) }
	if g.open {
		return write()
	}
	return g.memory.Do(ctx, write)
}

func (g *gate) answer(w http.ResponseWriter, e Entry, err error) {
	var stale *fencing.StaleError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &stale):
		r := refusal{e, stale.Seen, stale.Presented}
		g.note(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusPreconditionFailed)
		_ = json.NewEncoder(w).Encode(r) // whoever asked may be gone
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (g *gate) note(r refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	g.refused = append(g.refused, r)
	g.refused = g.refused[max(0, len(g.refused)-shown):]
}

// refusals are the last ones, and how many there were in all.
func (g *gate) refusals() ([]refusal, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]refusal(nil), g.refused...), g.count
}

// shown is how many of the last lines are kept to look at.
const shown = 12
