package recipestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/internal/proxy"
	"github.com/stile-dev/stile/server"
)

const (
	clusterElection = 500 * time.Millisecond // short, and still more than a busy machine keeps a member from its turn
	lookEvery       = 5 * time.Millisecond
	portAttempts    = 10 // somebody else may take a free port before a member does
)

// A Cluster is an etcd of several members, of a test's own. Members are numbered from 0. They run in this process; those of a
// ProcessCluster in processes of their own.
//
// Its methods are for one goroutine at a time, the test's. They fail the test when what they wait for doesn't come within half a minute.
type Cluster struct {
	tb      testing.TB
	network *proxy.Network
	members []*Server
	ids     []uint64
	looks   []*clientv3.Client // one client for each member
}

// NewCluster starts a cluster of n members for this test alone, without waiting for the disk, and with an election timeout of half a
// second unless an option says otherwise. It is there within that time, or a little more. It is stopped when the test ends.
func NewCluster(tb testing.TB, n int, opts ...ServerOption) *Cluster {
	tb.Helper()
	c := &Cluster{}
	c.init(tb, n, opts, func() *Server { return &Server{tb: tb, start: startHere} })
	return c
}

// A ProcessCluster is a Cluster whose members can be frozen and killed, since each is a process of its own.
type ProcessCluster struct {
	Cluster

	processes []*Process
}

// NewProcessCluster starts a cluster as NewCluster does, with each member in a process of its own, for which see NewProcess.
func NewProcessCluster(tb testing.TB, n int, opts ...ServerOption) *ProcessCluster {
	tb.Helper()
	c := &ProcessCluster{}
	c.init(tb, n, opts, func() *Server {
		p := newProcess(tb)
		c.processes = append(c.processes, p)
		return &p.Server
	})
	return c
}

// Process is the i-th member.
func (c *ProcessCluster) Process(i int) *Process { return c.processes[i] }

func (c *Cluster) init(tb testing.TB, n int, opts []ServerOption, member func() *Server) {
	tb.Helper()
	network, err := proxy.ListenNetwork(n)
	if err != nil {
		tb.Fatalf("recipestest: %v", err)
	}
	tb.Cleanup(func() {
		if err := network.Close(); err != nil {
			tb.Errorf("recipestest: %v", err)
		}
	})
	*c = Cluster{tb: tb, network: network}
	names := map[string]string{}
	for i := range n {
		names[name(i)] = c.network.URL(i)
	}
	own := func(cfg *server.Config) { cfg.NoFsync, cfg.ElectionTimeout, cfg.Cluster = true, clusterElection, names }
	for i := range n {
		s := member()
		s.configure(slices.Concat([]ServerOption{own}, opts))
		s.cfg.Name = name(i)
		s.start = c.reachable(i, s.start)
		c.members = append(c.members, s)
	}
	tb.Cleanup(c.stop)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	c.Start(all...)
	for i, s := range c.members {
		c.looks = append(c.looks, s.Client())
		status, err := c.status(context.Background(), i)
		if err != nil {
			tb.Fatalf("recipestest: member %d: %v", i, err)
		}
		c.ids = append(c.ids, status.Header.MemberId)
		c.network.Identify(i, status.Header.MemberId)
	}
}

func name(i int) string { return fmt.Sprintf("m%d", i) }

// reachable starts the i-th member behind its address in the network, on a port of its own.
func (c *Cluster) reachable(i int, start startFunc) startFunc {
	return func(ctx context.Context, cfg server.Config) (running, error) {
		for attempt := 1; ; attempt++ {
			host, err := freePort()
			if err != nil {
				return nil, err
			}
			c.network.Listens(i, host)
			cfg.PeerURL = "http://" + host
			s, err := start(ctx, cfg)
			if err == nil || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) || attempt == portAttempts {
				return s, err
			}
		}
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Start starts members on the data that they had, all at one time: a member serves when it sees most members. For one that joins those
// that run, the Start of the member itself does.
func (c *Cluster) Start(members ...int) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	errs := make([]error, len(members))
	var all sync.WaitGroup
	for n, i := range members {
		all.Go(func() {
			if err := c.members[i].begin(ctx); err != nil {
				errs[n] = fmt.Errorf("member %d: %w", i, err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		c.tb.Fatalf("recipestest: %v", err)
	}
}

// stop stops all members at one time, so that none tries for long to hand leadership to another.
func (c *Cluster) stop() {
	c.Mend() // a leader waits for answers
	var all sync.WaitGroup
	for _, s := range c.members {
		all.Go(s.Stop)
	}
	all.Wait()
}

// Member is the i-th member: to stop it, to start it, and for clients and proxies of it alone.
func (c *Cluster) Member(i int) *Server { return c.members[i] }

// Size is how many members there are.
func (c *Cluster) Size() int { return len(c.members) }

// Endpoints are the URLs at which clients reach the members.
func (c *Cluster) Endpoints() []string {
	var all []string
	for _, s := range c.members {
		all = append(all, s.Endpoint())
	}
	return all
}

// Client is a client of all members, over TCP, that sees all keys and is closed when the test ends. It goes round the members that it
// reaches, request by request.
func (c *Cluster) Client(opts ...ClientOption) *clientv3.Client {
	c.tb.Helper()
	return newClient(c.tb, c.Endpoints(), opts)
}

// Leader is the member that most members follow. It waits until there is one. A leader that was cut off a moment ago is still followed.
func (c *Cluster) Leader() int {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return c.leader(ctx)
}

func (c *Cluster) leader(ctx context.Context) int {
	c.tb.Helper()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if i := slices.Index(c.ids, c.followed(ctx)); i >= 0 {
			return i
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.tb.Fatalf("recipestest: no leader within %v", startTimeout)
		}
	}
}

// followed is the id of the member that most members follow, itself included, or 0. It doesn't wait for members that don't answer once
// the others agree.
func (c *Cluster) followed(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	answers := make(chan vote, len(c.members))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for i, id := range c.ids {
		asking.Go(func() {
			v := vote{of: id}
			if status, err := c.status(ctx, i); err == nil {
				v.leader = status.Leader
			}
			answers <- v
		})
	}
	followers, leads := map[uint64]int{}, map[uint64]bool{}
	for range c.members {
		v := <-answers
		followers[v.leader]++
		leads[v.leader] = leads[v.leader] || v.of == v.leader
		if v.leader != 0 && leads[v.leader] && followers[v.leader] > len(c.members)/2 {
			return v.leader
		}
	}
	return 0
}

// A vote is whom a member follows.
type vote struct{ of, leader uint64 }

func (c *Cluster) status(ctx context.Context, i int) (*clientv3.StatusResponse, error) {
	return c.looks[i].Status(ctx, c.members[i].Endpoint())
}

// MoveLeader makes the i-th member the leader, and returns when most members follow it. The old leader need not know of that yet, if it
// doesn't hear the others (CutWay).
func (c *Cluster) MoveLeader(to int) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for from := c.leader(ctx); from != to; from = c.leader(ctx) {
		c.move(ctx, from, to)
	}
}

// move asks the leader once, and returns when most members follow another than it, or it has refused.
func (c *Cluster) move(ctx context.Context, from, to int) {
	c.tb.Helper()
	ctx, cancel := context.WithCancel(ctx)
	refused := make(chan error, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	asking.Go(func() {
		_, err := c.looks[from].MoveLeader(ctx, c.ids[to])
		refused <- err
	})
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if id := c.followed(ctx); id != 0 && id != c.ids[from] {
			return // it may have been cut off, and they have elected one
		}
		select {
		case err := <-refused:
			if err != nil {
				return // it leads no more, or the other didn't take over in time
			}
			refused = nil
		case <-tick.C:
		case <-ctx.Done():
			c.tb.Fatalf("recipestest: member %d didn't become the leader within %v", to, startTimeout)
		}
	}
}

// Cut cuts the i-th member off from the others, as by a network that swallows everything, until Mend. Clients reach it as before.
func (c *Cluster) Cut(i int) {
	for j := range c.members {
		c.network.Cut(i, j)
		c.network.Cut(j, i)
	}
}

// CutWay loses what one member sends to another, until Mend. What goes the other way arrives.
//
// Renewals of leases that a follower passes on to its leader are told apart from others' only when nobody reaches the leader; so a
// follower that is cut off goes on passing them on until it has noticed that it has no leader.
func (c *Cluster) CutWay(from, to int) { c.network.Cut(from, to) }

// Mend ends all cuts. Connections that were cut are reset.
func (c *Cluster) Mend() { c.network.Mend() }
