package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// lockName is the file that a running server keeps locked in its data directory.
const lockName = "stile.lock"

// dataDir is a directory that is ours alone until release.
type dataDir struct {
	path      string
	temporary bool
	lock      *fileutil.LockedFile
}

// openDataDir makes the directory and takes it. etcd itself would wait for ever, without a word, for
// one that is in use.
func openDataDir(s settings) (*dataDir, error) {
	d := &dataDir{path: s.DataDir, temporary: s.Temporary}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", d.path, err), d.release())
	}
	return d, nil
}

func (d *dataDir) open() (err error) {
	if d.temporary {
		d.path, err = os.MkdirTemp("", "stile-")
	} else {
		err = os.MkdirAll(d.path, 0o700)
	}
	if err != nil {
		return reason(err)
	}
	d.lock, err = fileutil.TryLockFile(filepath.Join(d.path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fileutil.ErrLocked) {
		return errors.New("in use by another server")
	}
	if err != nil {
		return reason(err)
	}
	return probeDatabase(filepath.Join(d.path, "member", "snap", "db"))
}

// probeDatabase tells whether an etcd that knows nothing of our lock has the database open, or whether
// it isn't one: etcd would panic.
func probeDatabase(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Millisecond})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return errors.New("in use by another etcd")
	}
	if err != nil {
		return fmt.Errorf("database: %w", reason(err))
	}
	return db.Close()
}

// release lets the directory go, and removes it if it was temporary.
func (d *dataDir) release() error {
	var errs []error
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	if d.temporary && d.path != "" {
		errs = append(errs, os.RemoveAll(d.path))
	}
	return errors.Join(errs...)
}

// reason is err without the path that the caller names already.
func reason(err error) error {
	if perr, ok := errors.AsType[*os.PathError](err); ok {
		return perr.Err
	}
	return err
}
