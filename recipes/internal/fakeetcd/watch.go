package fakeetcd

import (
	"bytes"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// catchUpEvery is how often etcd serves the watchers that are behind: those that began at a revision that had been.
const catchUpEvery = 100 * time.Millisecond

const noWatchID = -1

// watchStream is the server's end of a client's stream of watches.
type watchStream struct {
	wantsLeader bool
	send        func(*pb.WatchResponse)
	fail        func(error)
	watchers    []*watcher
	next        int64
}

type watcher struct {
	id     int64
	span   span
	start  int64
	min    int64 // the first revision that it has not had
	synced bool
	prevKV bool
	no     [2]bool // by Event_EventType: not wanted
}

// open adds a stream. The server's lock is held, as in everything here.
func (s *Server) open(st *watchStream) { s.streams = append(s.streams, st) }

func (s *Server) drop(st *watchStream) {
	s.streams = slices.DeleteFunc(s.streams, func(o *watchStream) bool { return o == st })
}

// request is what a client sends on its stream.
func (s *Server) watchRequest(st *watchStream, r *pb.WatchRequest) {
	if !slices.Contains(s.streams, st) {
		return
	}
	switch {
	case r.GetCreateRequest() != nil:
		s.watch(st, r.GetCreateRequest())
	case r.GetCancelRequest() != nil:
		s.unwatch(st, r.GetCancelRequest().WatchId)
	case r.GetProgressRequest() != nil:
		s.progress(st)
	}
}

func (s *Server) watch(st *watchStream, r *pb.WatchCreateRequest) {
	key := r.Key
	if len(key) == 0 {
		key = []byte{0}
	}
	refuse := func(why string) {
		st.send(&pb.WatchResponse{Header: s.header(0), WatchId: noWatchID, Created: true, Canceled: true, CancelReason: why})
	}
	id := r.WatchId
	if id == 0 {
		id = st.next
		st.next++
	}
	w := &watcher{id: id, span: spanOf(key, r.RangeEnd), start: r.StartRevision, min: r.StartRevision, prevKV: r.PrevKv}
	switch {
	case r.StartRevision < 0:
		refuse("etcdserver: mvcc: required revision has been compacted")
		return
	case w.span.many && !w.span.all && bytes.Compare(key, r.RangeEnd) >= 0:
		refuse("mvcc: watcher range is empty")
		return
	}
	for _, f := range r.Filters {
		w.no[map[pb.WatchCreateRequest_FilterType]mvccpb.Event_EventType{
			pb.WatchCreateRequest_NOPUT: mvccpb.Event_PUT, pb.WatchCreateRequest_NODELETE: mvccpb.Event_DELETE,
		}[f]] = true
	}
	if w.synced = w.min == 0 || w.min > s.store.rev; w.synced {
		w.min = max(w.min, s.store.rev+1)
	} else {
		s.catchUpLater()
	}
	st.watchers = append(st.watchers, w)
	st.send(&pb.WatchResponse{Header: s.header(0), WatchId: id, Created: true})
}

func (s *Server) unwatch(st *watchStream, id int64) {
	n := len(st.watchers)
	st.watchers = slices.DeleteFunc(st.watchers, func(w *watcher) bool { return w.id == id })
	if len(st.watchers) < n {
		st.send(&pb.WatchResponse{Header: s.header(0), WatchId: id, Canceled: true})
	}
}

// progress says how far the stream is, if all of it is as far as etcd.
func (s *Server) progress(st *watchStream) {
	for _, w := range st.watchers {
		if !w.synced || s.store.rev < w.start {
			return
		}
	}
	if len(st.watchers) > 0 {
		st.send(&pb.WatchResponse{Header: s.header(0), WatchId: noWatchID})
	}
}

// notify sends a new revision to those who watch its keys.
func (s *Server) notify(rev int64, events []*mvccpb.Event) {
	for _, st := range s.streams {
		for _, w := range st.watchers {
			if w.synced && w.min <= rev {
				s.tell(st, w, rev, w.wanted(events))
			}
		}
	}
}

func (s *Server) tell(st *watchStream, w *watcher, rev int64, events []*mvccpb.Event) {
	w.min = max(w.min, rev+1)
	if len(events) == 0 {
		return
	}
	copies := make([]*mvccpb.Event, len(events))
	for i, ev := range events {
		copies[i] = &mvccpb.Event{Type: ev.Type, Kv: clone(ev.Kv)}
		if before := ev.Kv.ModRevision - 1; w.prevKV && before >= s.store.compacted {
			if old := s.store.at(string(ev.Kv.Key), before); old != nil {
				copies[i].PrevKv = clone(old)
			}
		}
	}
	st.send(&pb.WatchResponse{Header: s.header(rev), WatchId: w.id, Events: copies})
}

func (w *watcher) wanted(events []*mvccpb.Event) (wanted []*mvccpb.Event) {
	for _, ev := range events {
		if w.span.has(string(ev.Kv.Key)) && !w.no[ev.Type] {
			wanted = append(wanted, ev)
		}
	}
	return wanted
}

func (s *Server) catchUpLater() {
	if s.catchUp == nil {
		s.catchUp = time.AfterFunc(catchUpEvery, s.serveLate)
	}
}

// serveLate sends the past to those who are behind, all of it in one answer.
func (s *Server) serveLate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUp = nil
	select {
	case <-s.closed:
		return
	default:
	}
	for _, st := range s.streams {
		st.watchers = slices.DeleteFunc(st.watchers, func(w *watcher) bool {
			return !w.synced && !s.serve(st, w)
		})
	}
}

// serve is false if what the watcher wants is compacted.
func (s *Server) serve(st *watchStream, w *watcher) bool {
	if w.min < s.store.compacted {
		st.send(&pb.WatchResponse{Header: s.header(0), WatchId: w.id, Canceled: true, CompactRevision: s.store.compacted})
		return false
	}
	var events []*mvccpb.Event
	for _, r := range s.store.log {
		if r.rev >= w.min {
			events = append(events, w.wanted(r.events)...)
		}
	}
	w.synced = true
	s.tell(st, w, s.store.rev, events)
	return true
}
