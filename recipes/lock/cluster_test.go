package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// grace is how much longer than its ctx a call may take.
const grace = 250 * time.Millisecond

// TestNoCallOutlivesItsContextWithoutALeader: a member that is cut off keeps requests waiting, and answers some of them with an error.
func TestNoCallOutlivesItsContextWithoutALeader(t *testing.T) {
	c := recipestest.NewCluster(t, 3)
	off := (c.Leader() + 1) % c.Size()
	client := c.Member(off).Client()
	s := open(t, client)
	held := acquire(t, s, "held")
	fresh, err := session.New(client)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close(context.Background())
	c.Cut(off)
	calls := map[string]func(context.Context) error{
		"TryAcquire":              func(ctx context.Context) error { _, err := lock.TryAcquire(ctx, s, "free"); return err },
		"Acquire of what is free": func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "free"); return err },
		"Acquire of what is held": func(ctx context.Context) error { _, err := lock.Acquire(ctx, s, "held"); return err },
		"Inspect":                 func(ctx context.Context) error { _, err := lock.Inspect(ctx, client, "held"); return err },
		"opening a session":       func(ctx context.Context) error { _, err := session.Open(ctx, client); return err },
		"a write as the holder": func(ctx context.Context) error {
			_, err := held.Txn(ctx).Then(clientv3.OpPut("k", "v")).Commit()
			return err
		},
		"Acquire by a new session": func(ctx context.Context) error { _, err := lock.Acquire(ctx, fresh, "held"); return err },
	}
	const patience = 200 * time.Millisecond // ten times this and the grace is less than a request may take
	for what, call := range calls {         // one after another: some before the member has noticed, the others later
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		within(t, patience+grace, what, func() {
			if err := call(ctx); !errors.Is(err, session.ErrUnavailable) {
				t.Errorf("%s on a member without a leader: %v, want %v", what, err, session.ErrUnavailable)
			}
		})
		cancel()
	}
	c.Mend()
}

// TestAWaiterOnAMemberThatIsCutOff hears of nothing there, and yet takes its turn when the cut is mended.
func TestAWaiterOnAMemberThatIsCutOff(t *testing.T) {
	c := recipestest.NewCluster(t, 3)
	off := (c.Leader() + 1) % c.Size()
	held := acquire(t, open(t, c.Member(c.Leader()).Client()), "x")
	got := make(chan error, 1)
	waiter := open(t, c.Member(off).Client())
	go func() {
		held, err := lock.Acquire(t.Context(), waiter, "x")
		if err == nil {
			err = held.Release(t.Context())
		}
		got <- err
	}()
	eventually(t, "it waits", func() bool {
		state, err := lock.Inspect(t.Context(), c.Member(off).Client(), "x")
		return err == nil && len(state.Waiters) == 1
	})
	c.Cut(off)
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Mend()
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits still")
	}
}

// TestAWaiterThatKnowsAllMembersLeavesOneThatIsCutOff: etcd tells a watch there that it has no leader, after three election timeouts.
func TestAWaiterThatKnowsAllMembersLeavesOneThatIsCutOff(t *testing.T) {
	const waiters = 4
	c := recipestest.NewCluster(t, 3)
	off := (c.Leader() + 1) % c.Size()
	held := acquire(t, open(t, c.Member(c.Leader()).Client()), "x")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := make(chan error, waiters)
	for range waiters { // their watches are spread over the members
		s := open(t, c.Client())
		go func() {
			held, err := lock.Acquire(ctx, s, "x")
			if err == nil {
				_ = held.Release(ctx) // it may take another attempt, which is not what this is about
			}
			got <- err
		}()
	}
	eventually(t, "they wait", func() bool {
		state, err := lock.Inspect(t.Context(), c.Client(), "x")
		return err == nil && len(state.Waiters) == waiters
	})
	c.Cut(off)
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range waiters {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	c.Mend()
}
