package fakeetcd

import (
	"cmp"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

const (
	expiryEvery = 500 * time.Millisecond // how often etcd looks for leases that have run out
	mostTTL     = 9_000_000_000          // seconds
)

type lease struct {
	id      int64
	ttl     int64 // seconds
	expiry  time.Time
	keys    map[string]struct{}
	waiting []func(ttl int64) // renewals that came when it had run out and was not yet revoked
}

func (l *lease) refresh(extend time.Duration) {
	l.expiry = time.Now().Add(extend + time.Duration(l.ttl)*time.Second)
}

func (l *lease) left() time.Duration { return time.Until(l.expiry) }

func (s *Server) grant(r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	switch {
	case s.noSpace:
		return nil, rpctypes.ErrGRPCNoSpace
	case r.TTL > mostTTL:
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	case s.leases[r.ID] != nil:
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	id := r.ID
	for id == 0 || s.leases[id] != nil {
		s.lastLease++
		id = s.lastLease
	}
	l := &lease{id: id, ttl: max(r.TTL, s.opts.LeastTTL), keys: make(map[string]struct{})}
	l.refresh(0)
	s.leases[id] = l
	return &pb.LeaseGrantResponse{Header: s.header(0), ID: id, TTL: l.ttl}, nil
}

// renew calls answer with the TTL, or with 0 if the lease is gone: for one that has run out when it has been revoked.
func (s *Server) renew(id int64, answer func(ttl int64)) {
	l := s.leases[id]
	switch {
	case l == nil:
		answer(0)
	case l.left() <= 0:
		l.waiting = append(l.waiting, answer)
	default:
		l.refresh(0)
		answer(l.ttl)
	}
}

// revoke ends the lease and deletes its keys, all at one revision.
func (s *Server) revoke(r *pb.LeaseRevokeRequest, by string) (*pb.LeaseRevokeResponse, error) {
	l := s.leases[r.ID]
	if l == nil {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	s.end(l, by)
	return &pb.LeaseRevokeResponse{Header: s.header(0)}, nil
}

func (s *Server) end(l *lease, by string) {
	keys := make([]string, 0, len(l.keys))
	for key := range l.keys {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	delete(s.leases, l.id)
	c := s.change()
	for _, key := range keys {
		c.del(span{key: key})
	}
	s.commit(c, by)
	for _, answer := range l.waiting {
		answer(0)
	}
}

func (s *Server) timeToLive(r *pb.LeaseTimeToLiveRequest) *pb.LeaseTimeToLiveResponse {
	l := s.leases[r.ID]
	if l == nil {
		return &pb.LeaseTimeToLiveResponse{Header: s.header(0), ID: r.ID, TTL: -1}
	}
	resp := &pb.LeaseTimeToLiveResponse{Header: s.header(0), ID: l.id, TTL: int64(l.left().Seconds()), GrantedTTL: l.ttl}
	if r.Keys {
		for key := range l.keys {
			resp.Keys = append(resp.Keys, []byte(key))
		}
	}
	return resp
}

// byExpiry are the leases in the order in which they run out.
func (s *Server) byExpiry() []*lease {
	leases := make([]*lease, 0, len(s.leases))
	for _, l := range s.leases {
		leases = append(leases, l)
	}
	slices.SortFunc(leases, func(a, b *lease) int {
		return cmp.Or(a.expiry.Compare(b.expiry), cmp.Compare(a.id, b.id))
	})
	return leases
}

func (s *Server) listLeases() *pb.LeaseLeasesResponse {
	resp := &pb.LeaseLeasesResponse{Header: s.header(0)}
	for _, l := range s.byExpiry() {
		resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: l.id})
	}
	return resp
}

// expire ends the leases that have run out, one revision each.
func (s *Server) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaderless {
		return
	}
	for _, l := range s.byExpiry() {
		if l.left() > 0 {
			return
		}
		s.end(l, Expiry)
	}
}

// expireLoop goes round until the server is closed.
func (s *Server) expireLoop() {
	defer close(s.looped)
	t := time.NewTicker(expiryEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.expire()
		case <-s.closed:
			return
		}
	}
}
