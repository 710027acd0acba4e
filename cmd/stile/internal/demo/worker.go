package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// ErrNotStarted says that the process was not started by the demo.
var ErrNotStarted = errors.New("this is a part of stile demo, which starts it: try that")

var errOver = errors.New("the demo is over")

// Work is the life of a worker process. It ends with in.
func Work(ctx context.Context, in io.Reader, out io.Writer) error {
	var cfg workerConfig
	if err := json.Unmarshal([]byte(os.Getenv(configEnv)), &cfg); err != nil {
		return ErrNotStarted
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{cfg.Endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := session.Open(ctx, client, session.TTL(ttl), session.Margin(margin), session.Labels(map[string]string{"worker": cfg.Name}))
	if err != nil {
		return err
	}
	defer s.Close(ctx)
	w := &worker{workerConfig: cfg, session: s, told: make(chan string), out: json.NewEncoder(out)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go w.listen(in, cancel)
	return w.life(ctx)
}

type worker struct {
	workerConfig
	session *session.Session
	told    chan string
	out     *json.Encoder
}

// listen is left behind in the end: nothing interrupts its reading but the end of the process.
func (w *worker) listen(in io.Reader, over context.CancelCauseFunc) {
	defer close(w.told)
	defer over(errOver)
	for s := bufio.NewScanner(in); s.Scan(); {
		w.told <- s.Text()
	}
}

func (w *worker) say(r report) error { return w.out.Encode(r) }

func (w *worker) life(ctx context.Context) error {
	if err := w.say(report{Event: sayReady}); err != nil {
		return err
	}
	for {
		if err := w.hear(ctx, tellWork); err != nil {
			return over(err)
		}
		err := lock.Do(ctx, w.session, lockName, w.hold)
		r := report{Event: sayReleased}
		if errors.Is(err, session.ErrLost) {
			r = report{Event: sayLost, Error: err.Error()}
		} else if err != nil {
			return over(err)
		}
		if err := w.say(r); err != nil {
			return err
		}
	}
}

// over is nil for the end that a worker is meant to have.
func over(err error) error {
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// hold is what a worker does while it holds the lock. ctx ends when it doesn't any more.
func (w *worker) hold(ctx context.Context) error {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		return err
	}
	// First of all, so that no late line of an earlier holder is taken from here on.
	if err := w.post(ctx, "/seal", claim, Entry{}); err != nil {
		return err
	}
	if err := w.say(report{Event: sayHolds, Token: claim.Token}); err != nil {
		return err
	}
	for n := 1; ; n++ {
		told, err := w.listenFor(ctx)
		switch {
		case err != nil:
			return err
		case told == tellRelease:
			return nil
		case told != tellWrite:
			return fmt.Errorf("told to %s while holding the lock", told)
		}
		if err := w.write(ctx, n); err != nil {
			return err
		}
	}
}

// write is the mistake that locks can't prevent: a look at the lock, and then a write, with time in between.
func (w *worker) write(ctx context.Context, n int) error {
	claim, err := fencing.FromContext(ctx) // the look: an error if the lock isn't held any more
	if err != nil {
		return err
	}
	if err := w.say(report{Event: sayChecked, Token: claim.Token}); err != nil {
		return err
	}
	if told, ok := <-w.told; !ok {
		return errOver
	} else if told != tellGo {
		return fmt.Errorf("told to %s instead of to go on writing", told)
	}
	e := Entry{Token: claim.Token, Worker: w.Name, PID: os.Getpid(), Text: fmt.Sprintf("line %d of this hold", n)}
	if err := appendLine(w.Plain, e); err != nil {
		return err
	}
	err = w.post(context.WithoutCancel(ctx), "/ledger", claim, e) // on its way already, whatever ctx says
	var refused *refusal
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	return w.say(report{Event: sayWrote, Token: claim.Token, Refused: refused})
}

// post sends the entry to the fenced ledger's gate, with the claim that it is written under.
func (w *worker) post(ctx context.Context, path string, claim fencing.Claim, e Entry) error {
	header, err := json.Marshal(claim)
	if err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Gate+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set(claimHeader, string(header))
	req.Header.Set(secretHeader, w.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return outcome(resp)
}

// outcome is nil for a line that was written, and a *refusal for one that was refused.
func outcome(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusPreconditionFailed:
		r := new(refusal)
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxEntry)).Decode(r); err != nil {
			return err
		}
		return r
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // whatever there is of it
	return fmt.Errorf("the fenced ledger: %s: %s", resp.Status, text)
}

// hear waits to be told one thing.
func (w *worker) hear(ctx context.Context, want string) error {
	told, err := w.listenFor(ctx)
	if err == nil && told != want {
		err = fmt.Errorf("told to %s, not to %s", told, want)
	}
	return err
}

func (w *worker) listenFor(ctx context.Context) (string, error) {
	select {
	case told, ok := <-w.told:
		if !ok {
			return "", errOver
		}
		return told, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
