package filefence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stile-dev/stile/fencing"
)

var _ fencing.Gate = (*File)(nil)

// File is a guarded file, and a fencing.Gate for the one resource that it belongs to. It is safe for concurrent use, in any number of
// processes.
//
// The errors of its methods are those of fencing.FromContext; a *fencing.StaleError (ErrStale); fencing.ErrShared for a write by a
// shared claim; fencing.ErrBadClaim if the file belongs to another resource; ctx.Err() if the lock isn't free in time; and those of package
// os. Nothing was written then, unless a method says otherwise.
type File struct {
	path   string
	turn   chan struct{}     // holds one value while somebody in this process has the turn
	synced tokens            // those that this File has seen synced, with their directory; for who has the turn
	at     func(step string) // tests stop here
}

// New guards the file at path, which need not exist. Its directory must, and the process must be allowed to make files there.
func New(path string) *File {
	return &File{path: path, turn: make(chan struct{}, 1), at: func(string) {}}
}

// Check admits a write that the caller makes later: nothing keeps a larger token from being admitted in between. Replace and Append
// check on their own.
func (f *File) Check(ctx context.Context) error {
	return f.write(ctx, "check", func() error { return nil })
}

// Seal admits a new holder of either mode. Once it returns nil, no write of an earlier holder lands any more.
func (f *File) Seal(ctx context.Context) error {
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	return f.locked(ctx, c, "seal", func(t tokens) error { return f.raise(t, c) })
}

// CheckRead admits a read that the caller makes later. Read checks on its own.
func (f *File) CheckRead(ctx context.Context) error {
	c, err := claim(ctx)
	if err != nil {
		return err
	}
	return f.locked(ctx, c, "check", func(tokens) error { return nil })
}

// Read returns what is in the file, as it is while the claim is admitted; either mode may read. The error Is fs.ErrNotExist if there is no
// such file.
func (f *File) Read(ctx context.Context) (data []byte, err error) {
	c, err := claim(ctx)
	if err != nil {
		return nil, err
	}
	var opened io.ReadCloser
	err = f.locked(ctx, c, "read", func(tokens) error {
		opened, err = open(f.path)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	if data, err = io.ReadAll(opened); err != nil {
		return nil, f.failed("read", err)
	}
	return data, nil
}

// sized is a file as long as it was when it was opened: what is appended later isn't read.
type sized struct {
	io.Reader
	io.Closer
}

func open(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return sized{io.LimitReader(file, info.Size()), file}, nil
}

// Replace makes data what is in the file, or leaves it as it was. The new file has the permissions of the old one.
//
// After an error of the last step, the sync of the directory, the file is the new one and may be the old one again after a power failure:
// the error says so. Replace may be repeated after any error.
func (f *File) Replace(ctx context.Context, data []byte) error {
	return f.ReplaceFunc(ctx, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// ReplaceFunc is Replace with what write writes. It checks before it calls write, and again when the data is on the disk; others aren't kept
// waiting meanwhile. An error of write is returned, wrapped, and the file is left as it was.
func (f *File) ReplaceFunc(ctx context.Context, write func(w io.Writer) error) error {
	c, err := writer(ctx)
	if err != nil {
		return err
	}
	if err := f.locked(ctx, c, "replace", func(tokens) error { return nil }); err != nil {
		return err
	}
	temp, err := f.produce(c, write)
	if err != nil {
		return f.failed("replace", err)
	}
	err = f.write(ctx, "replace", func() error { return f.swap(temp) })
	if err != nil {
		_ = os.Remove(temp) // gone already, if only the last sync failed
	}
	return err
}

// Append adds data to the end of the file, and makes the file if need be. No data of a smaller token comes after that of a larger one.
//
// It returns nil once data is on the disk. If it fails it takes back what it has written; but when the process is killed or the power fails on
// the way, a part of data may stay at the end of the file, and the next Append comes after that. Frame your records so that a
// reader can tell a part from the whole (by a length and a checksum), or use Replace.
func (f *File) Append(ctx context.Context, data []byte) error {
	return f.write(ctx, "append", func() error { return f.extend(data) })
}

// write does a write under the lock, once the token of an admitted claim is on the disk.
func (f *File) write(ctx context.Context, act string, do func() error) error {
	c, err := writer(ctx)
	if err != nil {
		return err
	}
	return f.locked(ctx, c, act, func(t tokens) error {
		if err := f.raise(t, c); err != nil {
			return err
		}
		return do()
	})
}

// failed names the file. A *fencing.StaleError says all by itself.
func (f *File) failed(act string, err error) error {
	if _, ok := errors.AsType[*fencing.StaleError](err); ok || err == nil {
		return err
	}
	return fmt.Errorf("filefence: %s %s: %w", act, f.path, err)
}
