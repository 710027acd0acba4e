package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/stile-dev/stile/cmd/stile/internal/term"
	"github.com/stile-dev/stile/fencing"
)

// Event is something that the demo saw, as --json prints it.
type Event struct {
	Time    time.Time `json:"time"`
	Elapsed float64   `json:"elapsed_ms"` // since the demo began
	Event   string    `json:"event"`

	Worker string        `json:"worker,omitempty"`
	PID    int           `json:"pid,omitempty"`
	Token  fencing.Token `json:"token,omitzero"`
	Seen   fencing.Token `json:"seen,omitzero"` // by the gate that refused Token
	Millis float64       `json:"took_ms,omitempty"`
	Ledger string        `json:"ledger,omitempty"`
	Line   *Entry        `json:"line,omitempty"` // as the observer read it
	OK     *bool         `json:"ok,omitempty"`   // whether what is claimed was seen

	Endpoint string `json:"endpoint,omitempty"`
	Page     string `json:"page,omitempty"`

	Text string `json:"text"` // for people
}

// screen shows events as they happen, to people or to programs.
type screen struct {
	out   io.Writer
	json  bool
	style term.Style
	began time.Time
	lost  context.CancelCauseFunc // called when nobody reads on

	mu sync.Mutex
}

// errUnread says that nobody reads what the demo prints.
var errUnread = errors.New("can't print")

func newScreen(o Options, lost context.CancelCauseFunc) *screen {
	return &screen{out: o.Out, json: o.JSON, style: term.For(o.Out), began: time.Now(), lost: lost}
}

// check ends the demo if err says that it could not be shown.
func (s *screen) check(err error) {
	if err != nil {
		s.lost(fmt.Errorf("%w: %w", errUnread, err))
	}
}

// unread is why the demo could not be shown, if it couldn't.
func unread(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errUnread) {
		return cause
	}
	return nil
}

func (s *screen) show(e Event) {
	e.Time = time.Now()
	since := e.Time.Sub(s.began)
	e.Elapsed = millis(since)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		enc := json.NewEncoder(s.out)
		enc.SetEscapeHTML(false)
		s.check(enc.Encode(e))
		return
	}
	who := "   "
	if e.Worker != "" {
		who = s.style.In(lookOf(e.Worker), e.Worker) + "  "
	}
	_, err := fmt.Fprintf(s.out, "%s  %s%s\n", s.style.In(term.Faint, fmt.Sprintf("%6.2f s", since.Seconds())), who, s.mark(e))
	s.check(err)
}

// mark colours the text of what matters.
func (s *screen) mark(e Event) string {
	look, ok := map[string]string{
		eventPaused: term.Yellow, eventResumed: term.Yellow, eventKilled: term.Yellow,
		eventLate: term.Red, eventLost: term.Red, eventRefused: term.Green,
		eventTakenOver: term.Bold, eventHandedOver: term.Bold, eventRecovered: term.Bold,
		eventDone: term.Green,
	}[e.Event]
	if !ok {
		return e.Text
	}
	return s.style.In(look, e.Text)
}

// heading and text are for people alone.
func (s *screen) heading(text string) {
	s.text("\n%s\n", s.style.In(term.Bold, text))
}

func (s *screen) text(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.json {
		_, err := fmt.Fprintf(s.out, format, args...)
		s.check(err)
	}
}

// lookOf is a worker's colour: they are called A, B, C, ...
func lookOf(worker string) string {
	looks := []string{term.Cyan, term.Purple, term.Blue, term.Yellow}
	return looks[int(worker[0]-'A')%len(looks)]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// short is a duration as people read it.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", millis(d))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
