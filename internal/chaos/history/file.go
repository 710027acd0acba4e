package history

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A Writer appends records to a file, each with one write, so that a process which is killed leaves whole ones.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	err  error // the first one
}

// Create makes the file at path.
func Create(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &Writer{file: f}, nil
}

// Write appends r. That it could not is told by Close.
func (w *Writer) Write(r Record) {
	line, err := json.Marshal(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		_, err = w.file.Write(append(line, '\n'))
	}
	if err != nil && !errors.Is(err, fs.ErrClosed) {
		w.err = cmp.Or(w.err, err)
	}
}

// Close closes the file, and returns the first error there was.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.file.Close()
	if w.err != nil {
		return w.err
	}
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

// Suffix is what the names of the files end with.
const Suffix = ".jsonl"

// Read reads all files in dir into one history.
func Read(dir string) (*History, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+Suffix))
	if err != nil {
		return nil, err
	}
	h, ops := &History{}, map[opKey]Op{}
	for _, path := range paths {
		if err := h.read(path, ops); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, op := range ops {
		h.Ops = append(h.Ops, op)
	}
	slices.SortFunc(h.Ops, func(a, b Op) int {
		return cmp.Or(cmp.Compare(a.Call, b.Call), cmp.Compare(a.Client, b.Client), cmp.Compare(a.ID, b.ID))
	})
	slices.SortStableFunc(h.Faults, func(a, b Fault) int { return cmp.Compare(a.From, b.From) })
	return h, nil
}

type opKey struct {
	Who
	id int64
}

func (h *History) read(path string, ops map[opKey]Op) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			if !lines.Scan() {
				break // the last line of a process that was killed
			}
			return err
		}
		h.add(r, ops)
	}
	return lines.Err()
}

func (h *History) add(r Record, ops map[opKey]Op) {
	switch {
	case r.Setup != nil:
		h.Setup = *r.Setup
	case r.Called != nil:
		op := *r.Called
		op.Result = Unknown
		if _, returned := ops[opKey{op.Who, op.ID}]; !returned {
			ops[opKey{op.Who, op.ID}] = op
		}
	case r.Op != nil:
		ops[opKey{r.Op.Who, r.Op.ID}] = *r.Op
	case r.Belief != nil:
		h.Beliefs = append(h.Beliefs, *r.Belief)
	case r.Stall != nil:
		h.Stalls = append(h.Stalls, *r.Stall)
	case r.End != nil:
		h.Ends = append(h.Ends, *r.End)
	case r.Stored != nil:
		h.Stored = append(h.Stored, *r.Stored)
	case r.Fault != nil:
		h.Faults = append(h.Faults, *r.Fault)
	case r.Event != nil:
		h.Events = append(h.Events, *r.Event)
	}
}
