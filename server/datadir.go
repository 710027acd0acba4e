package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// lockName is the file that a running server keeps locked in its data directory.
const lockName = "stile.lock"

// dataDir is a directory that is ours alone until release.
type dataDir struct {
	path      string
	temporary bool
	alone     bool // the store of a larger cluster is refused
	lock      *fileutil.LockedFile
}

// openDataDir makes the directory and takes it. etcd itself would wait for ever, without a word, for
// one that is in use.
func openDataDir(s settings) (*dataDir, error) {
	d := &dataDir{path: s.DataDir, temporary: s.Temporary, alone: len(s.Cluster) == 0}
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
	return prepareDatabase(filepath.Join(d.path, "member"), d.alone)
}

// prepareDatabase tells whether an etcd that knows nothing of our lock has the database open, whether it
// isn't one, and whether it is that of a larger cluster when the member is to be alone. If there is none yet it is made: etcd would do
// that in a goroutine whose panic nobody can catch. An empty file is what a full disk left of it.
func prepareDatabase(member string, alone bool) error {
	path, haveLog := filepath.Join(member, "snap", "db"), wal.Exist(filepath.Join(member, "wal"))
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() > 0:
		err = probeDatabase(path, alone)
	case err != nil && !errors.Is(err, os.ErrNotExist):
	case haveLog:
		return nil // etcd must see that the database got lost
	default:
		err = createDatabase(path)
	}
	if err == nil && !haveLog {
		err = checkSpace(filepath.Dir(path))
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return errors.New("in use by another etcd")
	}
	if err != nil {
		return fmt.Errorf("database: %w", reason(err))
	}
	return nil
}

func probeDatabase(path string, alone bool) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Millisecond})
	if err != nil {
		return err
	}
	if alone {
		err = db.View(refuseOthers)
	}
	return errors.Join(err, db.Close())
}

// refuseOthers refuses the store of a cluster with other voters, before etcd gets in touch with them:
// without them it would never be ready, and with them this would be no server of one member.
func refuseOthers(tx *bolt.Tx) error {
	members := tx.Bucket(schema.Members.Name())
	if members == nil {
		return nil
	}
	voters := 0
	err := members.ForEach(func(_, value []byte) error {
		var m membership.Member
		if err := json.Unmarshal(value, &m); err != nil {
			return fmt.Errorf("member: %w", err)
		}
		if !m.IsLearner {
			voters++
		}
		return nil
	})
	if err == nil && voters > 1 {
		return fmt.Errorf("%w (%d members)", errLargerCluster, voters)
	}
	return err
}

// createDatabase makes an empty database.
func createDatabase(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return initDatabase(path)
}

// initDatabase leaves no file behind that would be refused later.
func initDatabase(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Millisecond})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return err // another's
	}
	if err != nil {
		_ = os.Remove(path) // bolt's error tells more
		return err
	}
	return db.Close()
}

// checkSpace tells whether there is room for the log that etcd allocates first of all: if it fails at
// that, it leaves its database open until the process ends.
func checkSpace(dir string) error {
	f, err := os.CreateTemp(dir, "tmp") // etcd removes files of that name, should we end here
	if err != nil {
		return err
	}
	if err = fileutil.Preallocate(f, wal.SegmentSizeBytes, true); err != nil {
		err = fmt.Errorf("no room for a log of %d MB: %w", wal.SegmentSizeBytes/1e6, reason(err))
	}
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
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
