//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filefence_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/filefence"
	"github.com/stile-dev/stile/recipes/recipestest"
)

// victim is set in a process that is to be killed: the path, the act, and the step at which it dies.
const victim = "FILEFENCE_VICTIM"

func TestMain(m *testing.M) {
	if what, ok := os.LookupEnv(victim); ok {
		fmt.Println("not killed:", die(strings.Split(what, "|")))
		os.Exit(1)
	}
	recipestest.Main(m)
}

// The file's data before and after.
const before, after = "the old data, whole", "the new data, which is longer, whole"

// die does what it is told to, and kills itself on the way.
func die(what []string) error {
	path, act, step := what[0], what[1], what[2]
	f := filefence.New(path)
	f.At(func(at string) {
		if at == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it comes
		}
	})
	ctx := fencing.NewContext(context.Background(), fencing.Claim{Resource: "lock/a", Token: fencing.FromRevision(8)})
	switch act {
	case "append":
		return f.Append(ctx, []byte(after))
	case "seal":
		return f.Seal(ctx)
	}
	return f.ReplaceFunc(ctx, func(w io.Writer) error {
		_, err := io.WriteString(w, after)
		return err
	})
}

// TestAProcessIsKilledAtEachStep: the file is the old or the new one, and if a byte of the new data is there, the old token is refused.
func TestAProcessIsKilledAtEachStep(t *testing.T) {
	for _, test := range []struct {
		act, step string
		data      string
		raised    bool
	}{
		{"replace", "made", before, false},
		{"replace", "produced", before, false},
		{"replace", "tokens written", before, false},
		{"replace", "tokens renamed", before, true},
		{"replace", "raised", before, true},
		{"replace", "replaced", after, true},
		{"append", "tokens written", before, false},
		{"append", "raised", before, true},
		{"append", "appended", before + after[:len(after)/2], true},
		{"seal", "tokens written", before, false},
		{"seal", "tokens renamed", before, true},
	} {
		t.Run(test.act+" "+test.step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			f := filefence.New(path)
			must(t, f.Replace(holding(t, fencing.Exclusive, 7), []byte(before)))
			kill(t, path, test.act, test.step)

			wantData(t, path, test.data)
			if err := f.CheckRead(holding(t, fencing.Shared, 7)); errors.Is(err, fencing.ErrStale) != test.raised {
				t.Errorf("the token of before: %v, and raised is %v", err, test.raised)
			}
			want := ""
			if !test.raised { // so the old holder may go on
				must(t, f.Append(holding(t, fencing.Exclusive, 7), []byte("+")))
				want = "+"
			} else if err := f.Append(holding(t, fencing.Exclusive, 7), []byte("late")); !errors.Is(err, fencing.ErrStale) {
				t.Errorf("an old holder's write: %v, want ErrStale", err)
			}
			wantData(t, path, test.data+want)
			must(t, f.Seal(holding(t, fencing.Exclusive, 9)))
			must(t, f.Replace(holding(t, fencing.Exclusive, 9), []byte("next")))
			wantData(t, path, "next")
			if got := names(t, path); got != "state state.fence state.fence.lock" {
				t.Errorf("left behind: %s", got)
			}
		})
	}
}

func kill(t *testing.T, path, act, step string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), late)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), victim+"="+path+"|"+act+"|"+step)
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatalf("the process ended with %v: %s", err, out)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL || ctx.Err() != nil {
		t.Fatalf("the process ended with %v, %v: %s", err, ctx.Err(), out)
	}
}
