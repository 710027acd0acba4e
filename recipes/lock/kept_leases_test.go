package lock_test

import (
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
)

// TestALeaseThatIsNotNeededIsEnded: the answer to the request that has the lock kept is lost, so that another is sent, on a lease of its own.
func TestALeaseThatIsNotNeededIsEnded(t *testing.T) {
	srv := recipestest.NewServer(t)
	admin, faults := srv.Client(), recipestest.NewFaults(t)
	c := srv.Client(faults)
	s := open(t, c)
	release(t, acquire(t, s, "x"))          // the session's lease is open
	faults.DropAnswer(3, recipestest.Reset) // after the join and the grant
	held, err := lock.Acquire(t.Context(), s, "x", lock.MinHold(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session's lease and that of the shortest hold are left", func() bool {
		all, err := admin.Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(all.Leases) == 2
	})
	if kept := keeping(t, admin); len(kept) != 1 || kept[0] != keptMin {
		t.Errorf("below d/: %q, want that of the shortest hold", kept)
	}
	release(t, held)
}
