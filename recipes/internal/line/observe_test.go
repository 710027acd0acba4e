package line

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// mute is a watcher whose watches open, if at all, and then tell nothing, as on a connection that goes nowhere.
type mute struct {
	clientv3.Watcher
	opens bool
}

func (m mute) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	c := make(chan clientv3.WatchResponse, 1)
	if m.opens {
		c <- clientv3.WatchResponse{Created: true}
	}
	return c
}

// TestAWatchThatFallsSilentIsNotTrustedForEver: whoever observes reads again.
func TestAWatchThatFallsSilentIsNotTrustedForEver(t *testing.T) {
	c := recipestest.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	seen := 0
	o := observer{client: c, prefix: "k/", again: 5 * time.Millisecond, yield: func(now Keys, _ error) bool {
		seen = len(now.All)
		return true
	}}
	c.Watcher = mute{c.Watcher, true}
	for i, key := range []string{"k/a", "k/b"} {
		if _, err := c.Put(ctx, key, ""); err != nil {
			t.Fatal(err)
		}
		if err := o.once(ctx, func() {}); err == nil || ctx.Err() != nil {
			t.Fatalf("once = %v, want that it looks again", err)
		}
		if seen != i+1 {
			t.Errorf("%d keys seen, want %d", seen, i+1)
		}
	}
	c.Watcher = mute{c.Watcher, false}
	if err := o.once(ctx, func() {}); err == nil || ctx.Err() != nil {
		t.Errorf("a watch that never opens: once = %v, want that it looks again", err)
	}
}
