package election_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
)

// after does something once, when a line has been read.
type after struct {
	clientv3.KV
	do atomic.Pointer[func()]
}

func (a *after) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := a.KV.Get(ctx, key, opts...)
	if strings.HasSuffix(key, "/e/") {
		if do := a.do.Swap(nil); do != nil {
			(*do)()
		}
	}
	return resp, err
}

// TestHandingOverWhileOthersLeave: leadership goes to the one that was chosen, although the one before it leaves between the look and the handing over; if
// it leaves itself, to the next.
func TestHandingOverWhileOthersLeave(t *testing.T) {
	for _, itself := range []bool{false, true} {
		c, mine := recipestest.Namespace(t, t.Name()), recipestest.Namespace(t, t.Name())
		kv := &after{KV: mine.KV}
		mine.KV = kv
		leader, s := open(t, mine), open(t, c)
		term := win(t, leader)
		before, chosen, high := campaigns(t, s, c), campaigns(t, s, c), campaigns(t, s, c, election.Priority(3))
		leaves := before
		if itself {
			leaves = chosen
		}
		do := func() {
			if err := election.Remove(t.Context(), c, "x", leaves.id, "at that very moment"); err != nil {
				t.Errorf("Remove = %v", err)
			}
		}
		kv.do.Store(&do)
		err := term.HandOver(t.Context(), chosen.id)
		if itself && !errors.Is(err, election.ErrNoCandidate) || !itself && err != nil {
			t.Errorf("HandOver = %v", err)
		}
		if itself {
			resign(t, high.leads(t))
			resign(t, before.leads(t))
		} else {
			resign(t, chosen.leads(t))
			resign(t, high.leads(t))
		}
		if all := ids(t, c); len(all) > 0 {
			t.Errorf("%v stand for the election", all)
		}
		recipestest.Delete(t, c, "/stile/v1/election/x/revoked")
	}
}
