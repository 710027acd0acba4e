package durable

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/internal/calls"
	"github.com/stile-dev/stile/recipes/internal/line"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

var (
	// ErrNotHeld says that there is no such permit.
	ErrNotHeld = calls.ErrNotHeld
	// ErrCondition says that one of the caller's own conditions does not hold.
	ErrCondition = errors.New("a condition given with If does not hold")

	errConflict = errors.New("the semaphore was changed meanwhile")
	errRivals   = errors.New("given up, nothing was changed: others have changed the semaphore before each attempt")
)

// FullError says that there is no room: because of the limit or, with a label, a group's.
type FullError struct {
	Limit, Held  int
	Label, Value string
}

func (e *FullError) Error() string {
	text := fmt.Sprintf("full: %d of %d permits are held", e.Held, e.Limit)
	if e.Label != "" {
		text += fmt.Sprintf(" by holders whose label %s is %q", e.Label, e.Value)
	}
	return text
}

// Is makes it an ErrHeld.
func (*FullError) Is(target error) bool { return target == line.ErrHeld }

// Names are what the semaphore is called, and what is said when it isn't there.
type Names struct {
	Key    string // of the record
	Leased string // the key that makes the name a leased semaphore's

	ErrNoLimit, ErrLeased error
}

// A Semaphore is one durable semaphore, as this process uses it.
type Semaphore struct {
	names    Names
	client   *clientv3.Client
	combiner combiner
	follower follower
}

// New sends nothing.
func New(client *clientv3.Client, names Names) *Semaphore {
	s := &Semaphore{names: names, client: client}
	s.combiner.store = store{client, names}
	return s
}

// Ask waits for the answer to r, and returns the record that it is about, if there is one.
func (s *Semaphore) Ask(ctx context.Context, r *Request) (*Seen, error) {
	err := s.combiner.ask(ctx, r)
	return r.result, err
}

// Acquire asks for a permit for id until there is room.
func (s *Semaphore) Acquire(ctx context.Context, id string, labels map[string]string, own Own) (*Seen, error) {
	var turn *turn
	for {
		now, err := s.Ask(ctx, Acquire(id, labels, own))
		if !errors.Is(err, line.ErrHeld) {
			return now, err
		}
		if turn == nil {
			turn = s.enter()
			defer s.leave(turn)
		}
		if failed := turn.wait(ctx, now.Rev, id, labels); failed != nil {
			return nil, fmt.Errorf("%v, while waiting for one: %w", err, failed) //nolint:errorlint // why it ended is not that it was full
		}
	}
}

// Watch yields the record as it is, and after each change, as line.Observe does.
func (s *Semaphore) Watch(ctx context.Context, yield func(now *Seen, err error) (more bool)) {
	for kvs, err := range line.Observe(ctx, s.client, s.names.Key) {
		now := &Seen{}
		for _, kv := range kvs {
			if err == nil && string(kv.Key) == s.names.Key { // and not one that begins with it
				now, err = read(kv)
			}
		}
		if !yield(now, err) || err != nil {
			return
		}
	}
}

// unreadable says that the record is none that this package writes.
func unreadable(key string, err error) error {
	return retry.Settled(fmt.Errorf("the record at %q can't be read, and is left as it is: %w", key, err))
}
