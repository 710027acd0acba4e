package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/fencing"
)

// Entry is one line of a ledger.
type Entry struct {
	Token  fencing.Token `json:"token"` // of the hold that it was written under
	Worker string        `json:"worker"`
	PID    int           `json:"pid"`
	Text   string        `json:"text"`
}

// appendLine writes an entry at the end of the file, in one write, as anybody can.
func appendLine(path string, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// window is as much of a ledger's end as is read.
const window = 64 << 10

// readLines reads the last entries of the file, in order; none if there is no file yet.
func readLines(path string) ([]Entry, error) {
	text, err := readEnd(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // is being written
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("ledger %s: line %q: %w", path, line, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// readEnd reads the last whole lines that fit the window.
func readEnd(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	from := max(0, size-window)
	text, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err == nil && from > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, err
}

// ledgers are the two files, in a directory of their own.
type ledgers struct{ dir string }

func newLedgers(lc fx.Lifecycle) *ledgers {
	l := new(ledgers)
	lc.Append(fx.StartStopHook(
		func(context.Context) (err error) {
			l.dir, err = os.MkdirTemp("", "stile-demo-")
			return err
		},
		func(context.Context) error { return os.RemoveAll(l.dir) },
	))
	return l
}

func (l *ledgers) plain() string  { return filepath.Join(l.dir, "plain.jsonl") }
func (l *ledgers) fenced() string { return filepath.Join(l.dir, "fenced.jsonl") }
