package server

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

func TestADirectoryBelowAFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "dir")} {
		assertRefused(t.Context(), t, Config{DataDir: dir}, "data directory "+dir, "not a directory")
	}
}

func TestADirectoryInUseByAServerIsRefused(t *testing.T) {
	s := start(t, quick())
	assertRefused(t.Context(), t, Config{DataDir: s.DataDir()}, s.DataDir(), "in use by another server")
	put(t, s.Client(), "k", "still works")
}

func TestADirectoryInUseByAForeignEtcdIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, "member", "snap", "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	assertRefused(t.Context(), t, Config{DataDir: dir}, dir, "in use by another etcd")
}

func TestADatabaseThatIsNoneIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "member", "snap", "db"), make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	assertRefused(t.Context(), t, Config{DataDir: dir}, dir, "database: invalid")
}

func TestAnEmptyDatabaseIsNone(t *testing.T) {
	cfg := quick()
	cfg.Temporary, cfg.DataDir = false, t.TempDir()
	snap := filepath.Join(cfg.DataDir, "member", "snap")
	if err := os.MkdirAll(snap, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(snap, "db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := start(t, cfg)
		put(t, s.Client(), "k", "v")
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// otherMember makes a store that knows of another member, and returns its directory.
func otherMember(t *testing.T, learner bool) string {
	t.Helper()
	cfg := quick()
	cfg.Temporary, cfg.DataDir = false, t.TempDir()
	s := start(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	add := s.Client().MemberAdd
	if learner {
		add = s.Client().MemberAddAsLearner
	}
	if _, err := add(ctx, []string{"http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cfg.DataDir
}

func TestAStoreOfALargerClusterIsRefused(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	dir := otherMember(t, false)
	began := time.Now()
	assertRefused(ctx, t, Config{DataDir: dir}, "data directory "+dir, "a member of a larger cluster (2 members)")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Start took %v", took)
	}
}

// Its own vote counts for nothing, so etcd alone would never be ready.
func TestALearnersStoreIsRefused(t *testing.T) {
	dir := otherMember(t, true)
	db, err := bolt.Open(filepath.Join(dir, "member", "snap", "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { // swap the roles
		bucket := tx.Bucket([]byte("members"))
		changed := map[string][]byte{}
		err := bucket.ForEach(func(k, v []byte) error {
			var m membership.Member
			if err := json.Unmarshal(v, &m); err != nil {
				return err
			}
			m.IsLearner = !m.IsLearner
			changed[string(k)], _ = json.Marshal(m)
			return nil
		})
		for k, v := range changed {
			err = errors.Join(err, bucket.Put([]byte(k), v))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	assertRefused(ctx, t, Config{DataDir: dir}, "etcd in "+dir, "a member of a larger cluster")
}

func TestAStoreWithALearnerBesideStarts(t *testing.T) {
	cfg := quick()
	cfg.Temporary, cfg.DataDir = false, otherMember(t, true)
	put(t, start(t, cfg).Client(), "k", "v")
}
