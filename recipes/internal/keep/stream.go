package keep

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// streamStays is how long a session's watch stream stays open without a watch, once it has been opened again and again.
const streamStays = time.Second

// stream knows how the session's watches come and go. Etcd's client has one stream for all of them and ends it with the last: a session
// that waits again and again, one wait at a time, would open a stream for each, which costs client and server more than the watches do.
type stream struct {
	mu    sync.Mutex
	open  int       // watches
	ended time.Time // when the last of them was closed
	held  bool      // a watch on nothing keeps the stream open
}

// enter announces a watch. It reports whether the stream is to be held open: if one has ended a moment ago.
func (s *stream) enter() (hold bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold = s.open == 0 && !s.held && !s.ended.IsZero() && time.Since(s.ended) < streamStays
	s.open++
	s.held = s.held || hold
	return hold
}

func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 {
		s.ended = time.Now()
	}
}

// letGo is true if nobody has watched for a while, or in any case if must.
func (s *stream) letGo(must bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if must || s.open == 0 && time.Since(s.ended) >= streamStays {
		s.held = false
		return true
	}
	return false
}

// holdStream has the stream stay open by a watch without events, until nobody has used it for a while. It asks for key, which the
// session may read: a watch of that is about to be opened.
func (k *Keeper) holdStream(key string) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(k.alive))
	defer cancel()
	c := k.client.Watch(ctx, key, clientv3.WithFilterPut(), clientv3.WithFilterDelete())
	look := time.NewTicker(streamStays)
	defer look.Stop()
	for {
		select {
		case _, ok := <-c:
			if !ok && k.stream.letGo(true) { // etcd has ended the stream
				return
			}
		case <-look.C:
			if k.stream.letGo(false) {
				return
			}
		}
	}
}
