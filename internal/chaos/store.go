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
	"sync"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/internal/chaos/history"
)

// The store is a resource outside etcd: a process that keeps the last write of each lock's holder, behind a gate. No fault reaches it,
// so that a holder who lost the lock still reaches the store.

// storeWrite is what is sent to it.
type storeWrite struct {
	Resource string `json:"resource"`
	Token    int64  `json:"token"`
	Shared   bool   `json:"shared,omitempty"` // it only reads
}

// StoreConfig is what the store's process is told.
type StoreConfig struct {
	File string
}

// store is the gate and what is behind it.
type store struct {
	gate    fencing.Memory
	writing sync.RWMutex // writers share it
	out     *history.Writer
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
	told := func(admitted bool) {
		s.out.Write(history.Record{Stored: &history.Stored{
			Resource: sw.Resource, Token: sw.Token, Shared: sw.Shared, Admitted: admitted, At: history.Now(),
		}})
	}
	switch err := s.admit(r.Context(), sw, told); {
	case err == nil:
	case errors.Is(err, fencing.ErrStale):
		told(false)
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// admit asks the gate, and tells what it admits before anything else is admitted. A read is checked before it is made: so no write goes on
// meanwhile.
func (s *store) admit(ctx context.Context, sw storeWrite, told func(admitted bool)) error {
	claim := fencing.Claim{Resource: sw.Resource, Token: fencing.FromRevision(sw.Token), Mode: fencing.Exclusive}
	if sw.Shared {
		s.writing.Lock()
		defer s.writing.Unlock()
		claim.Mode = fencing.Shared
		err := s.gate.CheckRead(fencing.NewContext(ctx, claim))
		if err == nil {
			told(true)
		}
		return err
	}
	s.writing.RLock()
	defer s.writing.RUnlock()
	return s.gate.Do(fencing.NewContext(ctx, claim), func() error {
		told(true)
		return nil
	})
}

// sendToStore writes to the store at url, or reads there, and tells what came of it.
func sendToStore(ctx context.Context, url string, sw storeWrite) (result string, err error) {
	body, err := json.Marshal(sw)
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
