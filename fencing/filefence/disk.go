package filefence

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stile-dev/stile/fencing"
)

// The names of what is beside the file. That of a temporary file tells its token.
func (f *File) tokensPath() string { return f.path + ".fence" }
func (f *File) lockPath() string   { return f.path + ".fence.lock" }

const temporary = ".tmp"

func (f *File) tempPattern(c fencing.Claim) string {
	return filepath.Base(f.path) + ".fence." + c.Token.Sortable() + ".*" + temporary
}

// produce writes a temporary file and syncs it. It has the permissions of the file that it is to replace, which must be a file.
func (f *File) produce(c fencing.Claim, write func(w io.Writer) error) (temp string, err error) {
	mode := fs.FileMode(0o644)
	info, err := regular(f.path)
	switch {
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	file, err := os.CreateTemp(filepath.Dir(f.path), f.tempPattern(c))
	if err != nil {
		return "", err
	}
	written := false
	defer func() { // also if write panics
		if !written {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	f.at("made")
	for _, step := range []func() error{
		func() error { return write(file) },
		func() error { return file.Chmod(mode) },
		file.Sync,
		file.Close,
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	f.at("produced")
	written = true
	return file.Name(), nil
}

// swap is the replacement, by who has the lock and has raised the token.
func (f *File) swap(temp string) error {
	if _, err := regular(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(temp, f.path); err != nil {
		return err
	}
	f.at("replaced")
	if err := syncDir(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("it was replaced, but may be the old one after a power failure: %w", err)
	}
	return nil
}

// tidy removes what killed processes have left, once a token. One with a smaller token that still runs is refused anyway.
func (f *File) tidy(c fencing.Claim) {
	dir, prefix := filepath.Dir(f.path), filepath.Base(f.path)+".fence."
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // they are in nobody's way
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		token, _, dotted := strings.Cut(rest, ".")
		if !ours || !dotted || !strings.HasSuffix(rest, temporary) {
			continue
		}
		if t, err := fencing.ParseSortable(token); err == nil && t.Compare(c.Token) < 0 {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// regular refuses what a rename would replace by something else.
func regular(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file (%v)", path, info.Mode().Type())
	}
	return info, nil
}

// extend appends, by who has the lock and has raised the token.
func (f *File) extend(data []byte) error {
	info, err := regular(f.path)
	made := errors.Is(err, fs.ErrNotExist)
	if err != nil && !made {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	size := int64(0)
	if !made {
		size = info.Size()
	}
	if err := f.add(file, data); err != nil {
		return errors.Join(err, file.Truncate(size), file.Close())
	}
	if err := file.Close(); err != nil || !made {
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

func (f *File) add(file *os.File, data []byte) error {
	half := len(data) / 2
	for _, part := range [][]byte{data[:half], data[half:]} { // in two, so that tests can stop in between
		if _, err := file.Write(part); err != nil {
			return err
		}
		f.at("appended")
	}
	return file.Sync()
}

// syncDir makes what was renamed in a directory last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
