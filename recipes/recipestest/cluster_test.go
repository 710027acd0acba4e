package recipestest

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// clusters are the kinds of clusters for which a test is run.
var clusters = map[string]func(testing.TB, int, ...ServerOption) *Cluster{
	"in this process": NewCluster,
	"in processes": func(tb testing.TB, n int, opts ...ServerOption) *Cluster {
		tb.Helper()
		return &NewProcessCluster(tb, n, opts...).Cluster
	},
}

// TestAClusterOutlivesOneMember, whichever it is, and that one catches up.
func TestAClusterOutlivesOneMember(t *testing.T) {
	for name, newCluster := range clusters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3)
			for i := range c.Size() {
				c.Member(i).Stop()
				others := c.Member((i + 1) % 3).Client()
				eventually(t, "the others write", func() bool {
					_, err := others.Put(within(t, time.Second), fmt.Sprint(i), "v")
					return err == nil
				})
				c.Member(i).Start()
				wantKeyAt(t, c.Member(i).Client(), fmt.Sprint(i), "v")
			}
			for i := range c.Size() {
				c.Member(i).Stop()
			}
			c.Start(0, 1, 2)
			wantKeyAt(t, c.Client(), "1", "v")
		})
	}
}

func wantKeyAt(tb testing.TB, c *clientv3.Client, key, value string) {
	tb.Helper()
	resp, err := c.Get(within(tb, late), key)
	if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != value {
		tb.Errorf("%q = %v (%v), want %q", key, resp, err, value)
	}
}

func TestMoveLeader(t *testing.T) {
	c := NewCluster(t, 3)
	for _, to := range []int{0, 1, 2, 2, 0} {
		c.MoveLeader(to)
		if got := c.Leader(); got != to {
			t.Errorf("member %d leads, want %d", got, to)
		}
		put(t, c.Member(to).Client(), "x", "v")
	}
}

// TestALeaderThatIsCutOff: the others have another, it accepts nothing meanwhile, and follows when the cut is mended.
func TestALeaderThatIsCutOff(t *testing.T) {
	c := NewProcessCluster(t, 3)
	old := c.Leader()
	put(t, c.Member(old).Client(), "x", "1")
	c.Cut(old)
	eventually(t, "another leader", func() bool { return c.Leader() != old })
	put(t, c.Member(c.Leader()).Client(), "x", "2")
	a := c.Member(old).Client()
	if _, err := a.Put(within(t, soon), "x", "3"); err == nil {
		t.Error("the member that is cut off accepts a put")
	}
	resp, err := a.Get(within(t, late), "x", clientv3.WithSerializable())
	if err != nil || string(resp.Kvs[0].Value) != "1" {
		t.Errorf("it has %v (%v), want 1: nothing gets to it", resp, err)
	}
	c.Mend()
	eventually(t, "it has caught up", func() bool {
		resp, err := a.Get(within(t, late), "x")
		return err == nil && string(resp.Kvs[0].Value) == "2"
	})
}

// TestALeaderThatHearsNothing: it doesn't know that it has been replaced, and its followers hear it still.
func TestALeaderThatHearsNothing(t *testing.T) {
	c := NewCluster(t, 3)
	old, next := 0, 1
	c.MoveLeader(old)
	for i := range c.Size() {
		c.CutWay(i, old)
	}
	c.MoveLeader(next)
	status, err := c.status(within(t, late), old)
	if err != nil {
		t.Fatal(err)
	}
	if status.Leader == c.ids[next] { // itself, or nobody once it has waited long enough for its followers' answers
		t.Error("the old leader has heard of the new one")
	}
	put(t, c.Member(next).Client(), "x", "1")
	c.Mend()
	eventually(t, "it hears of the new one", func() bool {
		status, err := c.status(within(t, late), old)
		return err == nil && status.Leader == c.ids[next]
	})
}

func TestAMemberThatIsFrozenOrKilled(t *testing.T) {
	c := NewProcessCluster(t, 3)
	for i, fault := range map[int]func(*Process){0: (*Process).Freeze, 1: (*Process).Kill} {
		c.MoveLeader(i)
		fault(c.Process(i))
		next := c.Leader()
		if next == i {
			t.Errorf("member %d leads still", i)
		}
		put(t, c.Member(next).Client(), fmt.Sprint(i), "v")
		if i == 0 {
			c.Process(i).Thaw()
		} else {
			c.Process(i).Start()
		}
		wantKeyAt(t, c.Member(i).Client(), fmt.Sprint(i), "v")
	}
}

func TestAMemberThatRunsCannotBeStarted(t *testing.T) {
	fake := &fakeT{TB: t}
	c := NewCluster(fake, 1)
	if fake.failure(func() { c.Start(0) }) == "" {
		t.Error("starting a member that runs doesn't fail the test")
	}
	if got := c.Leader(); got != 0 {
		t.Errorf("member %d leads, want 0, the only one", got)
	}
	c.Cut(0) // from nobody
	put(t, c.Client(), "x", "v")
}
