//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filefence_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/filefence"
)

// A holder is stopped after it has read the file. Another takes over and writes; then the first wakes up.
func Example() {
	dir, err := os.MkdirTemp("", "filefence")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	hold := func(rev int64) context.Context { // lock.Do gives its work such a context
		return fencing.NewContext(context.Background(), fencing.Claim{Resource: "lock/state", Token: fencing.FromRevision(rev)})
	}

	f := filefence.New(filepath.Join(dir, "state.json"))
	stopped, next := hold(41), hold(57)
	fmt.Println("seal:", f.Seal(next)) // before it reads
	fmt.Println("next:", f.Replace(next, []byte(`{"balance":30}`)))
	fmt.Println("late:", f.Replace(stopped, []byte(`{"balance":40}`)))
	data, err := f.Read(next)
	fmt.Println(string(data), err)
	// Output:
	// seal: <nil>
	// next: <nil>
	// late: fencing "lock/state": stale fencing token: 41 was presented, 57 was seen
	// {"balance":30} <nil>
}
