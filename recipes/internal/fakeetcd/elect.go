package fakeetcd

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// errNoAnswer says that a request is never answered: who waits for it gives up.
var errNoAnswer = errors.New("no answer")

func wantsLeader(ctx context.Context) bool {
	md, _ := metadata.FromOutgoingContext(ctx)
	return slices.Contains(md.Get(rpctypes.MetadataRequireLeaderKey), rpctypes.MetadataHasLeader)
}

// Elect makes another member the leader, at once and without a gap. It knows nothing of the renewals so far, and gives every lease its
// whole TTL and an election timeout.
func (s *Server) Elect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promote()
}

func (s *Server) promote() {
	s.leaderless = false
	if !s.opts.OneTerm {
		s.term++
	}
	for _, l := range s.leases {
		l.refresh(s.opts.Election)
		// Renewals that waited for the end of a lease that ran out are asked again.
		waiting := l.waiting
		l.waiting = nil
		for _, answer := range waiting {
			answer(l.ttl)
		}
	}
}

// LoseLeader takes the leader away: until Elect, requests and watches that want a leader are refused, others are not answered, and
// no lease ends.
func (s *Server) LoseLeader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaderless = true
	for _, st := range slices.Clone(s.streams) {
		if st.wantsLeader {
			st.fail(rpctypes.ErrGRPCNoLeader)
		}
	}
}

// oldLeader is a leader that does not know of its successor, and goes on to renew leases by a table of its own.
type oldLeader struct {
	term   uint64
	alone  bool // its clients reach nobody else
	expiry map[int64]time.Time
	ttl    map[int64]int64
}

// Transfer hands the leadership over while the renewals of conns go to the old leader, which goes on granting them until Rejoin (etcd: for up to two
// election timeouts of its own running time). Everything else goes to the new one; or nowhere, if they are cut off together with the old one.
func (s *Server) Transfer(cutOff bool, conns ...*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := &oldLeader{term: s.term, alone: cutOff, expiry: make(map[int64]time.Time), ttl: make(map[int64]int64)}
	for id, l := range s.leases {
		old.expiry[id], old.ttl[id] = l.expiry, l.ttl
	}
	for _, c := range conns {
		c.behind = old
	}
	s.promote()
}

// Rejoin ends what Transfer began: the old leader has stepped down, and its connections break.
func (s *Server) Rejoin(conns ...*Conn) {
	s.mu.Lock()
	for _, c := range conns {
		c.behind = nil
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Break()
	}
}

// cutOff reports whether the connection reaches an old leader alone. The server's lock is held.
func (c *Conn) cutOff() bool { return c.behind != nil && c.behind.alone }

func (o *oldLeader) renew(id int64, answer func(ttl int64)) {
	expiry, known := o.expiry[id]
	if !known || time.Until(expiry) <= 0 {
		return // it cannot end the lease, and does not answer
	}
	o.expiry[id] = time.Now().Add(time.Duration(o.ttl[id]) * time.Second)
	answer(o.ttl[id])
}
