package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// members are the configurations of a cluster of n on this machine.
func members(t *testing.T, n int) []Config {
	t.Helper()
	cluster := map[string]string{}
	for i := range n {
		cluster[fmt.Sprintf("m%d", i)] = "http://" + freePort(t)
	}
	out := make([]Config, n)
	for i := range out {
		out[i] = member(t, fmt.Sprintf("m%d", i), cluster)
	}
	return out
}

func member(t *testing.T, name string, cluster map[string]string) Config {
	t.Helper()
	return Config{
		DataDir: t.TempDir(), ClientURLs: []string{"http://127.0.0.1:0"}, NoFsync: true,
		Name: name, Cluster: cluster, ElectionTimeout: DefaultElectionTimeout,
	}
}

// startAll starts servers at one time.
func startAll(t *testing.T, cfgs []Config) []*Server {
	t.Helper()
	out := make([]*Server, len(cfgs))
	var wg sync.WaitGroup
	for i, cfg := range cfgs {
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		out[i] = s
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := s.Start(ctx); err != nil {
				t.Errorf("start %s: %v", cfg.Name, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// leader returns the member that all of them follow.
func leader(t *testing.T, all []*Server) *Server {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		var found *Server
		agreed := true
		for _, s := range all {
			if s.Leader() == s.MemberID() {
				found = s
			}
			agreed = agreed && s.Leader() == all[0].Leader()
		}
		if found != nil && agreed {
			return found
		}
	}
	t.Fatal("no leader")
	return nil
}

// TestThreeMembers: what one accepts the others have, and it outlives one of them and a restart of all.
func TestThreeMembers(t *testing.T) {
	cfgs := members(t, 3)
	all := startAll(t, cfgs)
	put(t, leader(t, all).Client(), "k", "1")
	for i, s := range all {
		if got := get(t, s.Client(), "k"); got != "1" {
			t.Errorf("member %d has %q, want 1", i, got)
		}
		if got := get(t, dial(t, clientv3.Config{Endpoints: s.Endpoints()}), "k"); got != "1" {
			t.Errorf("member %d has %q, want 1, over TCP", i, got)
		}
	}
	if err := all[0].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, leader(t, all[1:]).Client(), "k", "2")
	for _, s := range all[1:] {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range startAll(t, cfgs) {
		if got := get(t, s.Client(), "k"); got != "2" {
			t.Errorf("member %d has %q after a restart, want 2", i, got)
		}
	}
}

func TestTheLeaderMoves(t *testing.T) {
	all := startAll(t, members(t, 3))
	for range 3 {
		old := leader(t, all)
		next := all[0]
		if next == old {
			next = all[1]
		}
		if _, err := old.Client().MoveLeader(t.Context(), next.MemberID()); err != nil {
			t.Fatal(err)
		}
		if now := leader(t, all); now != next {
			t.Errorf("the leader is %x, want %x", now.MemberID(), next.MemberID())
		}
	}
}

// TestALeaderThatClosesHandsOver: otherwise nobody leads for an election timeout.
func TestALeaderThatClosesHandsOver(t *testing.T) {
	cfgs := members(t, 3)
	for i := range cfgs {
		cfgs[i].ElectionTimeout = 2 * time.Second
	}
	all := startAll(t, cfgs)
	old := leader(t, all)
	if err := old.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(s *Server) bool { return s != old && s.Leader() == s.MemberID() }) {
		t.Error("the leader has closed, and no other member leads")
	}
}

// TestCloseWithoutTheOthers: stock etcd takes seconds to find out that nobody takes over.
func TestCloseWithoutTheOthers(t *testing.T) {
	all := startAll(t, members(t, 3))
	var wg sync.WaitGroup
	began := time.Now()
	for _, s := range all {
		wg.Go(func() {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	t.Logf("Close took %v", took)
	if limit := 10 * all[0].settings.ElectionTimeout; took > limit {
		t.Errorf("Close took %v, want half an election timeout at most, and not %v", took, limit)
	}
}

func TestAMemberWaitsForTheOthers(t *testing.T) {
	cfgs := members(t, 3)
	first, err := New(cfgs[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := first.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start of one of three: %v, want %v", err, context.DeadlineExceeded)
	}
	startAll(t, cfgs) // it left nothing in the way
}

func TestAMembersStoreNeedsACluster(t *testing.T) {
	cfgs := members(t, 3)
	for _, s := range startAll(t, cfgs) {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	alone := Config{DataDir: cfgs[0].DataDir}
	assertRefused(t.Context(), t, alone, "no Cluster is set", "a member of a larger cluster (3 members)")
}

// TestTheStoreOfOneIsNotThatOfThree: three servers on such stores would be three clusters.
func TestTheStoreOfOneIsNotThatOfThree(t *testing.T) {
	cfg := quick()
	cfg.Temporary, cfg.DataDir = false, t.TempDir()
	if err := start(t, cfg).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	three := members(t, 3)[0]
	three.DataDir = cfg.DataDir
	assertRefused(t.Context(), t, three, "the store belongs to a cluster of one member, and Cluster names 3")
}

// TestOneMemberGrows is the way of docs/cluster.md.
func TestOneMemberGrows(t *testing.T) {
	t.Parallel() // etcd itself takes 5 s
	cfg := quick()
	cfg.Temporary, cfg.DataDir = false, t.TempDir()
	s := start(t, cfg)
	put(t, s.Client(), "k", "v")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	url := "http://" + freePort(t)
	first := member(t, "a", map[string]string{"a": url})
	first.DataDir = cfg.DataDir
	s = start(t, first)
	if _, err := s.Client().MemberUpdate(t.Context(), s.MemberID(), []string{url}); err != nil {
		t.Fatal(err)
	}
	joined := join(t, s.Client(), "b", first.Cluster)
	if got := get(t, joined.Client(), "k"); got != "v" {
		t.Errorf("b has %q, want v", got)
	}
}

// join adds a member to the cluster of the others and starts it.
func join(t *testing.T, c *clientv3.Client, name string, others map[string]string) *Server {
	t.Helper()
	cluster := maps.Clone(others)
	cluster[name] = "http://" + freePort(t)
	whenHealthy(t, func(ctx context.Context) error {
		_, err := c.MemberAdd(ctx, []string{cluster[name]})
		return err
	})
	cfg := member(t, name, cluster)
	cfg.Join = true
	whenTold(t, cfg)
	return start(t, cfg)
}

// whenTold waits until every other member knows of the one that is to join: a new member asks any of them, and is refused by one that doesn't.
func whenTold(t *testing.T, cfg Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for name, url := range cfg.Cluster {
		for name != cfg.Name && !knows(ctx, url, cfg.Cluster[cfg.Name]) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%s does not hear of the new member", name)
			}
		}
	}
}

// knows asks the member at url for the members.
func knows(ctx context.Context, url, peer string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/members", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return err == nil && strings.Contains(string(text), peer)
}

// whenHealthy changes the members once etcd lets it: all others must have been connected for 5 s.
func whenHealthy(t *testing.T, change func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := change(ctx)
		if err == nil {
			return
		}
		if !errors.Is(err, rpctypes.ErrUnhealthy) {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// TestAMemberIsReplaced is the way of docs/cluster.md for a member whose disk is lost.
func TestAMemberIsReplaced(t *testing.T) {
	t.Parallel() // etcd itself takes 5 s
	cfgs := members(t, 3)
	all := startAll(t, cfgs)
	put(t, leader(t, all).Client(), "k", "v")
	lost := all[2].MemberID()
	if err := all[2].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfgs[2].DataDir); err != nil {
		t.Fatal(err)
	}
	c := leader(t, all[:2]).Client()
	if _, err := Start(t.Context(), cfgs[2]); err == nil || !strings.Contains(err.Error(), "already been bootstrapped") {
		t.Errorf("start without its store: %v, want a refusal", err)
	}
	whenHealthy(t, func(ctx context.Context) error {
		_, err := c.MemberRemove(ctx, lost)
		return err
	})
	others := maps.Clone(cfgs[0].Cluster)
	delete(others, cfgs[2].Name)
	s := join(t, c, "new", others)
	if got := get(t, s.Client(), "k"); got != "v" {
		t.Errorf("the new member has %q, want v", got)
	}
}

func TestWhoJoinsMustBeAdded(t *testing.T) {
	cfgs := members(t, 3)
	cfgs[0].Join = true
	assertRefused(t.Context(), t, cfgs[0], "cannot fetch cluster info") // nobody is there
	cfgs[0].Join = false
	startAll(t, cfgs)
	more := member(t, "more", maps.Clone(cfgs[0].Cluster))
	more.Cluster["more"], more.Join = "http://"+freePort(t), true
	if _, err := Start(t.Context(), more); err == nil || !strings.Contains(err.Error(), "member count is unequal") {
		t.Errorf("start of a member that was not added: %v, want a refusal", err)
	}
}

func TestAPeerAddressInUseIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := member(t, "a", map[string]string{"a": "http://" + l.Addr().String()})
	assertRefused(t.Context(), t, cfg, l.Addr().String(), "for members", "address already in use")
}

// An address that stands for all of a machine's means nothing to others.
func TestAWildcardAddressIsAdvertisedAsThatOfTheMember(t *testing.T) {
	cfg := member(t, "a", map[string]string{"a": "http://localhost:" + port(t, freePort(t))})
	cfg.PeerURL = "http://127.0.0.1:" + port(t, cfg.Cluster["a"])
	cfg.ClientURLs, cfg.AllowInsecure = []string{"http://0.0.0.0:0", "http://127.0.0.1:0"}, true
	s := start(t, cfg)
	resp, err := s.Client().MemberList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"http://localhost:" + port(t, s.Endpoints()[0]), s.Endpoints()[1]}
	slices.Sort(resp.Members[0].ClientURLs)
	slices.Sort(want)
	if diff := cmp.Diff(want, resp.Members[0].ClientURLs); diff != "" {
		t.Errorf("client URLs in the member list (-want +got):\n%s", diff)
	}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}
