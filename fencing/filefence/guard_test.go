//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filefence_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/fencingtest"
	"github.com/stile-dev/stile/fencing/filefence"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// late is when something that is waited for must have come.
const late = time.Minute

// files are a gate for any number of resources: each has a file of its own.
type files struct{ dir string }

func (d files) of(ctx context.Context) *filefence.File {
	c, _ := fencing.FromContext(ctx) // the file itself refuses what is wrong
	sum := sha256.Sum256([]byte(c.Resource))
	return filefence.New(filepath.Join(d.dir, hex.EncodeToString(sum[:])))
}

func (d files) Check(ctx context.Context) error     { return d.of(ctx).Check(ctx) }
func (d files) CheckRead(ctx context.Context) error { return d.of(ctx).CheckRead(ctx) }
func (d files) Seal(ctx context.Context) error      { return d.of(ctx).Seal(ctx) }

func TestFilesAreGuarded(t *testing.T) {
	for name, write := range map[string]func(f *filefence.File, ctx context.Context, value string) error{
		"replace": func(f *filefence.File, ctx context.Context, value string) error {
			return f.Replace(ctx, []byte(value))
		},
		"append": func(f *filefence.File, ctx context.Context, value string) error {
			return f.Append(ctx, []byte("\n"+value))
		},
	} {
		t.Run(name, func(t *testing.T) {
			fencingtest.Run(t, func(tb testing.TB) fencingtest.Guard {
				tb.Helper()
				d := files{quick(tb)}
				return fencingtest.Guard{
					Gate:   d,
					Reopen: func() fencing.Gate { return files{d.dir} },
					Write:  func(ctx context.Context, value string) error { return write(d.of(ctx), ctx, value) },
					Read:   func(context.Context) (string, error) { return lastLine(d.dir) },
				}
			})
		})
	}
}

// quick is a directory in memory where there is one: thousands of syncs take minutes on a disk.
func quick(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "filefence") //nolint:usetesting // TempDir is on a disk
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// lastLine is that of the only file in dir that isn't one of the guard's.
func lastLine(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".fence") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		return string(data[strings.LastIndexByte(string(data), '\n')+1:]), err
	}
	return "", nil
}

// holding is a context with a claim.
func holding(tb testing.TB, mode fencing.Mode, token int64) context.Context {
	tb.Helper()
	return on(tb, fencing.Claim{Resource: "lock/a", Token: fencing.FromRevision(token), Mode: mode})
}

func on(tb testing.TB, c fencing.Claim) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), late)
	tb.Cleanup(cancel)
	return fencing.NewContext(ctx, c)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantData(tb testing.TB, path, want string) {
	tb.Helper()
	if data, err := os.ReadFile(path); err != nil || string(data) != want {
		tb.Errorf("the file has %q, %v, want %q", data, err, want)
	}
}

// names are what is in the directory of path.
func names(tb testing.TB, path string) string {
	tb.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must(tb, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// TestWhatIsBesideAFile, as the documentation says it.
func TestWhatIsBesideAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := filefence.New(path)
	if _, err := f.Read(holding(t, fencing.Exclusive, 5)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there is a file: %v, want ErrNotExist", err)
	}
	must(t, f.Replace(holding(t, fencing.Exclusive, 7), []byte("one")))
	must(t, os.Chmod(path, 0o640))
	must(t, f.Seal(holding(t, fencing.Shared, 9)))
	must(t, f.Replace(holding(t, fencing.Exclusive, 9), []byte("two")))
	wantData(t, path+".fence", `{"resource":"lock/a","exclusive":"9","shared":"9"}`+"\n")
	if got := names(t, path); got != "state state.fence state.fence.lock" {
		t.Errorf("there are %s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the permissions are %v, %v, want those of the old file", info.Mode(), err)
	}
	if data, err := f.Read(holding(t, fencing.Shared, 9)); err != nil || string(data) != "two" {
		t.Errorf("read %q, %v", data, err)
	}
	if data, err := f.Read(holding(t, fencing.Shared, 8)); data != nil || !errors.Is(err, fencing.ErrStale) {
		t.Errorf("read %q, %v with a smaller token, want ErrStale", data, err)
	}
}

// TestWhatIsRefused changes nothing.
func TestWhatIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	must(t, filefence.New(path).Replace(holding(t, fencing.Exclusive, 7), []byte("one")))
	for name, file := range map[string]string{"broken": "{", "empty": "", "without tokens": `{"resource":"lock/a"}`, "of another version": `{"x":1}`} {
		must(t, os.WriteFile(filepath.Join(dir, name+".fence"), []byte(file), 0o600))
	}
	must(t, os.Symlink(path, filepath.Join(dir, "link")))
	mine := holding(t, fencing.Exclusive, 8)
	gone := errors.New("no data")
	for name, test := range map[string]struct {
		file *filefence.File
		ctx  context.Context
		want string
	}{
		"another resource":   {filefence.New(path), on(t, fencing.Claim{Resource: "lock/b", Token: fencing.FromRevision(99)}), `belongs to "lock/a"`},
		"broken":             {filefence.New(filepath.Join(dir, "broken")), mine, "damaged"},
		"empty":              {filefence.New(filepath.Join(dir, "empty")), mine, "damaged"},
		"without tokens":     {filefence.New(filepath.Join(dir, "without tokens")), mine, "damaged"},
		"of another version": {filefence.New(filepath.Join(dir, "of another version")), mine, "damaged"},
		"symbolic link":      {filefence.New(filepath.Join(dir, "link")), mine, "not a regular file"},
		"no directory":       {filefence.New(filepath.Join(dir, "none", "state")), mine, "no such file"},
		"not from New":       {&filefence.File{}, mine, "New"},
		"not UTF-8":          {filefence.New(path), on(t, fencing.Claim{Resource: "\xff", Token: fencing.FromRevision(99)}), "UTF-8"},
	} {
		for act, err := range map[string]error{
			"Replace": test.file.Replace(test.ctx, []byte("x")),
			"Append":  test.file.Append(test.ctx, []byte("x")),
		} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s: %v, want %q", name, act, err, test.want)
			}
		}
	}
	err := filefence.New(path).ReplaceFunc(mine, func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return gone })
	if !errors.Is(err, gone) {
		t.Errorf("the producer's own error: %v", err)
	}
	wantData(t, path, "one")
	if got := names(t, path); strings.Contains(got, ".tmp") {
		t.Errorf("left behind: %s", got)
	}
}

// TestAWriterIsRefusedAfterItHasProduced: nobody waits for it meanwhile.
func TestAWriterIsRefusedAfterItHasProduced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	old, next := filefence.New(path), filefence.New(path)
	err := old.ReplaceFunc(holding(t, fencing.Exclusive, 7), func(w io.Writer) error {
		must(t, next.Seal(holding(t, fencing.Exclusive, 8)))
		must(t, next.Replace(holding(t, fencing.Exclusive, 8), []byte("next")))
		_, err := io.WriteString(w, "late")
		return err
	})
	if !errors.Is(err, fencing.ErrStale) {
		t.Errorf("got %v, want ErrStale", err)
	}
	wantData(t, path, "next")
	if got := names(t, path); strings.Contains(got, ".tmp") {
		t.Errorf("left behind: %s", got)
	}
	called := false
	if err := old.ReplaceFunc(holding(t, fencing.Exclusive, 7), func(io.Writer) error { called = true; return nil }); !errors.Is(err, fencing.ErrStale) || called {
		t.Errorf("got %v and called is %v, want ErrStale before anything is produced", err, called)
	}
}

// TestTheLockIsWaitedForUntilCtxEnds, in this process and for another's.
func TestTheLockIsWaitedForUntilCtxEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	one := filefence.New(path)
	stopped, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	one.At(func(step string) {
		if step == "raised" {
			close(stopped)
			<-goOn
		}
	})
	go func() { done <- one.Check(holding(t, fencing.Exclusive, 7)) }()
	<-stopped
	gone := errors.New("the user has gone away")
	for name, f := range map[string]*filefence.File{"the same": one, "another": filefence.New(path)} {
		ctx, cancel := context.WithTimeoutCause(holding(t, fencing.Exclusive, 8), 10*time.Millisecond, gone)
		if err := f.Seal(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, gone) {
			t.Errorf("%s: %v, want the end of ctx and its cause", name, err)
		}
		cancel()
	}
	waiting := make(chan error, 1)
	go func() { waiting <- filefence.New(path).Seal(holding(t, fencing.Exclusive, 8)) }()
	close(goOn)
	must(t, <-done)
	must(t, <-waiting)
}

// TestAZombieIsRefused: a lock on a real etcd, lost by a holder that is stopped after it has read.
func TestAZombieIsRefused(t *testing.T) {
	client, path := recipestest.Client(t), filepath.Join(t.TempDir(), "state")
	under := func(act func(ctx context.Context, f *filefence.File) error) error {
		s, err := session.Open(t.Context(), client)
		if err != nil {
			return err
		}
		defer s.Close(context.Background())
		f := filefence.New(path)
		return lock.Do(t.Context(), s, "state", func(ctx context.Context) error {
			if err := f.Seal(ctx); err != nil {
				return err
			}
			return act(ctx, f)
		})
	}
	recipestest.Zombie(t, client, func(pause recipestest.Pause) error {
		return under(func(ctx context.Context, f *filefence.File) error { return f.Replace(pause(ctx), []byte("late")) })
	}, func() error {
		return under(func(ctx context.Context, f *filefence.File) error { return f.Replace(ctx, []byte("next")) })
	})
	wantData(t, path, "next")
}
