package fakeetcd

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Expiry is who ends the leases that have run out, in the log.
const Expiry = "expiry"

// Options are what an etcd's configuration says.
type Options struct {
	// Election is the election timeout: a new leader extends all leases by it. 1 s by default.
	Election time.Duration
	// LeastTTL is the least TTL of a lease, in seconds. By default 2, which is what an election timeout of 1 s makes.
	LeastTTL int64
	// OneTerm is a broken etcd: all its leaders name the same raft term.
	OneTerm bool
	// Changed is called with every revision as it is made, with the name of the client that made it, or with Expiry. It may not call
	// the server.
	Changed func(by string, rev int64, events []*mvccpb.Event)
}

// Server is one etcd: a cluster as its clients see it.
type Server struct {
	opts   Options
	closed chan struct{}
	looped chan struct{}
	once   sync.Once

	mu         sync.Mutex
	store      store
	leases     map[int64]*lease
	lastLease  int64
	attached   map[string]int64 // the lease of each key that is on one
	noSpace    bool
	leaderless bool
	term       uint64
	streams    []*watchStream
	catchUp    *time.Timer // serves the watchers that are behind, while there are any
}

// New starts an empty etcd. Close ends it.
func New(opts Options) *Server {
	if opts.Election == 0 {
		opts.Election = time.Second
	}
	if opts.LeastTTL == 0 {
		opts.LeastTTL = 2
	}
	s := &Server{
		opts: opts, closed: make(chan struct{}), looped: make(chan struct{}), store: newStore(), leases: make(map[int64]*lease),
		attached: make(map[string]int64), term: 2, lastLease: 1000,
	}
	go s.expireLoop()
	return s
}

// Close ends it. Requests that come later, or wait, are not answered.
func (s *Server) Close() {
	s.once.Do(func() { close(s.closed) })
	<-s.looped
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.catchUp != nil {
		s.catchUp.Stop()
	}
}

// header is that of an answer; rev 0 stands for the present one.
func (s *Server) header(rev int64) *pb.ResponseHeader {
	if rev == 0 {
		rev = s.store.rev
	}
	return &pb.ResponseHeader{ClusterId: 1, MemberId: 1, RaftTerm: s.term, Revision: rev}
}

func (s *Server) change() *change { return &change{store: &s.store} }

// commit makes what c collected visible: to reads, to leases, to watchers.
func (s *Server) commit(c *change, by string) {
	if len(c.events) == 0 {
		return
	}
	c.commit()
	for _, ev := range c.events {
		s.attach(string(ev.Kv.Key), ev.Kv.Lease)
	}
	if s.opts.Changed != nil {
		s.opts.Changed(by, s.store.rev, c.events)
	}
	s.notify(s.store.rev, c.events)
}

// attach puts the key on lease id and on no other; 0 is none.
func (s *Server) attach(key string, id int64) {
	if l := s.leases[s.attached[key]]; l != nil {
		delete(l.keys, key)
	}
	delete(s.attached, key)
	if l := s.leases[id]; l != nil {
		l.keys[key] = struct{}{}
		s.attached[key] = id
	}
}

func (s *Server) get(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, err
	}
	if err := s.store.checkRev(r.Revision, s.store.rev); err != nil {
		return nil, err
	}
	resp := s.store.find(r, s.store.rev)
	resp.Header = s.header(0)
	return resp, nil
}

func (s *Server) put(r *pb.PutRequest, by string) (*pb.PutResponse, error) {
	if err := checkPut(r); err != nil {
		return nil, err
	}
	if s.noSpace {
		return nil, rpctypes.ErrGRPCNoSpace
	}
	if err := s.admitPut(r); err != nil {
		return nil, err
	}
	c := s.change()
	resp := c.doPut(r)
	s.commit(c, by)
	resp.Header = s.header(0)
	return resp, nil
}

func (s *Server) deleteRange(r *pb.DeleteRangeRequest, by string) (*pb.DeleteRangeResponse, error) {
	if err := checkKey(r.Key); err != nil {
		return nil, err
	}
	c := s.change()
	resp := c.doDelete(r)
	s.commit(c, by)
	resp.Header = s.header(0)
	return resp, nil
}

func (s *Server) txn(r *pb.TxnRequest, by string) (*pb.TxnResponse, error) {
	if err := checkTxn(r); err != nil {
		return nil, err
	}
	if s.noSpace && hasPut(r) {
		return nil, rpctypes.ErrGRPCNoSpace
	}
	path := s.store.decide(r)
	if _, err := s.admit(r, path); err != nil {
		return nil, err
	}
	c := s.change()
	resp, _ := c.execute(r, path)
	s.commit(c, by)
	resp.Header = s.header(0)
	return resp, nil
}

func (s *Server) compact(r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	if err := s.store.compact(r.Revision); err != nil {
		return nil, err
	}
	return &pb.CompactionResponse{Header: s.header(0)}, nil
}

// Rev is the revision of the last change.
func (s *Server) Rev() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store.rev
}

// Read is what stands below prefix now, seen from inside: no network, no election is in between.
func (s *Server) Read(prefix string) []*mvccpb.KeyValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := []byte(prefix)
	end[len(end)-1]++
	return s.store.read(spanOf([]byte(prefix), end), s.store.rev)
}

// Leases are the leases that are alive.
func (s *Server) Leases() (ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.byExpiry() {
		ids = append(ids, l.id)
	}
	return ids
}

// Delete deletes a key, as an operator does.
func (s *Server) Delete(by, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.change()
	c.del(span{key: key})
	s.commit(c, by)
}

// Revoke revokes a lease, as an operator does.
func (s *Server) Revoke(by string, id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leases[id]; l != nil {
		s.end(l, by)
	}
}

// Compact forgets all history before now.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.store.compact(s.store.rev) // an error says that it was compacted already
}

// SetNoSpace raises the alarm, or ends it: etcd refuses whatever may write more.
func (s *Server) SetNoSpace(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noSpace = full
}

// do is one request: it holds the server for f, which says whether there is an answer.
func (s *Server) do(ctx context.Context, f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaderless {
		if wantsLeader(ctx) {
			return rpctypes.ErrGRPCNoLeader
		}
		return errNoAnswer
	}
	f()
	return nil
}
