package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/internal/chaos/history"
)

// The store is a resource outside etcd: a process that keeps the last write of each lock's holder, behind a gate. No fault reaches it,
// so that a holder who lost the lock still reaches the store.

// storeWrite is what is sent to it.
type storeWrite struct {
	Name  string `json:"name"`
	Token int64  `json:"token"`
}

// StoreConfig is what the store's process is told.
type StoreConfig struct {
	File string
}

// store is the gate and what is behind it.
type store struct {
	gate fencing.Memory
	out  *history.Writer
}

// ServeStore is the store's process, until its standard input ends. It says its address on out.
func ServeStore(cfg StoreConfig, in io.Reader, out io.Writer) error {
	w, err := history.Create(cfg.File)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: &store{out: w}, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if _, err := fmt.Fprintln(out, "http://"+l.Addr().String()); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in)
	_ = srv.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return w.Close()
}

const maxWrite = 4 << 10

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sw storeWrite
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxWrite)).Decode(&sw); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	claim := fencing.Claim{Resource: "lock/" + sw.Name, Token: fencing.FromRevision(sw.Token), Mode: fencing.Exclusive}
	err := s.gate.Do(fencing.NewContext(r.Context(), claim), func() error {
		s.out.Write(history.Record{Stored: &history.Stored{Resource: sw.Name, Token: sw.Token, Admitted: true, At: history.Now()}})
		return nil
	})
	switch {
	case err == nil:
	case errors.Is(err, fencing.ErrStale):
		s.out.Write(history.Record{Stored: &history.Stored{Resource: sw.Name, Token: sw.Token, At: history.Now()}})
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// sendToStore writes to the store at url, and tells what came of it.
func sendToStore(ctx context.Context, url, name string, token int64) (result string, err error) {
	body, err := json.Marshal(storeWrite{name, token})
	if err != nil {
		return history.Fail, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return history.Fail, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return history.Unknown, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxWrite))
	switch resp.StatusCode {
	case http.StatusOK:
		return history.OK, nil
	case http.StatusPreconditionFailed:
		return history.Fail, errors.New(string(bytes.TrimSpace(text)))
	default:
		return history.Unknown, errors.New(string(bytes.TrimSpace(text)))
	}
}
