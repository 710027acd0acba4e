package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// A Session keeps leases in etcd alive for the recipes. It is safe for concurrent use. Make one with Open, or with New.
type Session struct {
	keeper *keep.Keeper
}

// Open returns a session that has its first lease. It fails if etcd does not grant one within ctx, and within 5 s in any
// case; then nothing is left running, and at most a lease without keys in etcd, for its TTL.
//
// ctx bounds the opening only: the session lasts until Close. The client stays the caller's, who closes it after the
// session. Of the client only KV, Lease and Watcher are used.
func Open(ctx context.Context, client *clientv3.Client, opts ...Option) (*Session, error) {
	s, err := New(client, opts...)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		s.keeper.Discard()
		return nil, err
	}
	return s, nil
}

// New returns a session without sending anything: it opens its lease when it is first needed, or by Start.
func New(client *clientv3.Client, opts ...Option) (*Session, error) {
	cfg := keep.Defaults()
	for _, opt := range opts {
		if opt != nil {
			opt(&cfg)
		}
	}
	k, err := keep.New(client, cfg)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return &Session{keeper: k}, nil
}

// Start opens the lease, if it isn't open. It is one attempt, of at most 5 s.
func (s *Session) Start(ctx context.Context) error {
	k, err := keeper(s)
	if err != nil {
		return err
	}
	if ctx == nil {
		return errors.New("session: the context is nil")
	}
	if _, err := k.Lease(ctx); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	return nil
}

// Close ends every hold with ErrClosed, waits for work that runs under them (lock.Do) as long as ctx allows, then releases them
// and revokes the session's leases, which deletes all its keys. When it returns, no goroutine of the session is left.
// Later calls wait for the first and return the same.
//
// If ctx has ended, or ends on the way, Close goes on for at most the cleanup timeout. An error that Is ErrUnknownOutcome says
// that etcd could not be told: the keys go after their TTL. Don't call it from the work under a hold with a ctx that does not end: it
// waits for that work.
func (s *Session) Close(ctx context.Context) error {
	k, err := keeper(s)
	if err != nil {
		return err
	}
	if err := k.Close(ctx); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	return nil
}

// Granted is the TTL that etcd granted, which may be more than was asked for. It is 0 while no lease is open.
func (s *Session) Granted() time.Duration {
	k, err := keeper(s)
	if err != nil {
		return 0
	}
	return k.Granted()
}
