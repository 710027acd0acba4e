package server

import (
	"context"
	"fmt"
)

// Close ends the client that Client returned, answers the requests that are in flight, ends streams,
// stops etcd and gives back all that Start took; a temporary directory is removed. Clients that stay
// connected don't hold it up. It may be called at any time, also on a server that never started, and
// more than once: every call waits for the same end and returns the same.
//
// The leader of a cluster hands its office to another member first, unless nobody takes it within half an
// election timeout. A leader that has asked another member for its version waits for the answer: one that
// hangs, rather than to be gone, may hold it up for 5 s and two election timeouts.
//
// Close waits no longer than ctx and no longer than 5 s; a ctx that had ended before is ignored,
// since cleaning up is what one does then. When it returns for lack of time the server goes on to
// stop in the background, and a later Close tells how that went.
func (s *Server) Close(ctx context.Context) error {
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	s.beginClose()
	select {
	case <-s.closed:
		return s.closeErr
	case <-ctx.Done():
		return fmt.Errorf("server: close: still stopping: %w", ctx.Err())
	}
}

func (s *Server) beginClose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	s.closing = true
	if s.cancel != nil {
		s.cancel(errClosed)
	}
	go s.shutdown(s.idle)
}

// shutdown waits for a Start that is under way (it was told to stop), then undoes it.
func (s *Server) shutdown(idle <-chan struct{}) {
	defer close(s.closed)
	<-idle
	s.stopped(nil)
	s.conn.close()
	_ = s.client.Close() // says only that its context has ended, which is what was asked
	if n := s.running(); n != nil {
		if err := n.stop(); err != nil {
			s.closeErr = fmt.Errorf("server: close: %w", err)
		}
	}
	s.conn.wait()
}
