package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

var examples atomic.Int64

// example runs f with a session, on an etcd of the tests'. A program makes its client with clientv3.New.
func example(f func(ctx context.Context, client *clientv3.Client, s *session.Session) error, opts ...session.Option) {
	t := &exampleT{}
	defer t.end()
	ctx, client := context.Background(), recipestest.Namespace(t, fmt.Sprint("example ", examples.Add(1)))
	s, err := session.Open(ctx, client, opts...)
	if err == nil {
		err = errors.Join(f(ctx, client, s), s.Close(ctx))
	}
	if err != nil {
		fmt.Println(err)
	}
}

// exampleT stands for the test that an example has none of.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (*exampleT) Helper()                      {}
func (t *exampleT) Cleanup(f func())           { t.cleanups = append(t.cleanups, f) }
func (*exampleT) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}

func Example() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "uploads", 4); err != nil { // for everybody; each process may say it
			return err
		}
		return semaphore.Do(ctx, s, "uploads", 1, func(ctx context.Context) error {
			claim, err := fencing.FromContext(ctx) // a guard does this for you
			fmt.Println("uploading, with", claim.Resource)
			return err
		})
	})
	// Output:
	// uploading, with semaphore/uploads#0
}

func ExampleAcquire() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "gpus", 4); err != nil {
			return err
		}
		two, err := semaphore.Acquire(ctx, s, "gpus", 2) // both at once, or none
		if err != nil {
			return err
		}
		defer two.Release(ctx)
		fmt.Println("GPUs", two.Slots())
		_, err = semaphore.Acquire(ctx, s, "gpus", 8)
		if refused, ok := errors.AsType[*semaphore.LimitError](err); ok {
			fmt.Println(refused.Asked, "never fit into", refused.Limit)
		}
		return nil
	})
	// Output:
	// GPUs [0 1]
	// 8 never fit into 4
}

func ExampleTryAcquire() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "uploads", 1); err != nil {
			return err
		}
		permit, err := semaphore.Acquire(ctx, s, "uploads", 1)
		if err != nil {
			return err
		}
		defer permit.Release(ctx)
		_, err = semaphore.TryAcquire(ctx, s, "uploads", 1)
		if held, ok := errors.AsType[*semaphore.HeldError](err); ok {
			fmt.Println(held.State.Taken(), "of", held.State.Limit, "are taken")
		}
		return nil
	})
	// Output:
	// 1 of 1 are taken
}

func ExampleSetLimit() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "uploads", 2); err != nil {
			return err
		}
		both, err := semaphore.Acquire(ctx, s, "uploads", 2)
		if err != nil {
			return err
		}
		defer both.Release(ctx)
		if err := semaphore.SetLimit(ctx, client, "uploads", 1); err != nil { // takes nothing from anybody
			return err
		}
		fmt.Println("still held:", both.Err() == nil)
		_, err = semaphore.TryAcquire(ctx, s, "uploads", 1)
		fmt.Println("to be had:", err == nil)
		return semaphore.SetLimit(ctx, client, "uploads", 3) // lets in who waits
	})
	// Output:
	// still held: true
	// to be had: false
}

func ExampleSpread() {
	rack := session.Labels(map[string]string{"rack": "r7"})
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "restarts", 5, semaphore.Spread("rack", 1)); err != nil {
			return err
		}
		permit, err := semaphore.Acquire(ctx, s, "restarts", 1)
		if err != nil {
			return err
		}
		defer permit.Release(ctx)
		_, err = semaphore.TryAcquire(ctx, s, "restarts", 1)
		fmt.Println("another one in this rack:", err == nil)
		return nil
	}, rack)
	// Output:
	// another one in this rack: false
}

func ExampleExpect() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "shards", 8); err != nil {
			return err
		}
		_, err := semaphore.Acquire(ctx, s, "shards", 1, semaphore.Expect(16)) // this program is made for 16
		fmt.Println(errors.Is(err, semaphore.ErrLimitMismatch))
		return nil
	})
	// Output:
	// true
}

func ExampleInspect() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "uploads", 3); err != nil {
			return err
		}
		return semaphore.Do(ctx, s, "uploads", 2, func(ctx context.Context) error {
			state, err := semaphore.Inspect(ctx, client, "uploads")
			if err != nil {
				return err
			}
			fmt.Println(state.Taken(), "of", state.Limit, "taken,", len(state.Waiters), "waiting; slots", state.Holders[0].Slots)
			return nil
		})
	})
	// Output:
	// 2 of 3 taken, 0 waiting; slots [0 1]
}

func ExampleList() {
	example(func(ctx context.Context, client *clientv3.Client, _ *session.Session) error {
		for name, n := range map[string]int{"uploads": 4, "restarts": 0} {
			if err := semaphore.SetLimit(ctx, client, name, n); err != nil {
				return err
			}
		}
		all, err := semaphore.List(ctx, client)
		for _, state := range all {
			fmt.Println(state.Name, state.Limit)
		}
		return err
	})
	// Output:
	// restarts 0
	// uploads 4
}

func ExampleWatch() {
	example(func(ctx context.Context, client *clientv3.Client, _ *session.Session) error {
		for state, err := range semaphore.Watch(ctx, client, "uploads") {
			if err != nil {
				return err
			}
			if state.Limit != semaphore.NoLimit {
				fmt.Println("the limit is", state.Limit)
				return nil
			}
			if err := semaphore.SetLimit(ctx, client, "uploads", 4); err != nil { // as somebody else does, elsewhere
				return err
			}
		}
		return nil
	})
	// Output:
	// the limit is 4
}

func ExampleRevoke() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "uploads", 2); err != nil {
			return err
		}
		permit, err := semaphore.Acquire(ctx, s, "uploads", 1)
		if err != nil {
			return err
		}
		if err := semaphore.Revoke(ctx, client, "uploads", "maintenance", 0); err != nil { // as an operator does
			return err
		}
		<-permit.Context().Done()
		if revoked, ok := errors.AsType[*session.RevokedError](context.Cause(permit.Context())); ok {
			fmt.Println("asked for it:", revoked.Reason)
		}
		return nil
	})
	// Output:
	// asked for it: maintenance
}

func ExampleForce() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "uploads", 2); err != nil {
			return err
		}
		if _, err := semaphore.Acquire(ctx, s, "uploads", 2); err != nil {
			return err
		}
		if err := semaphore.Force(ctx, client, "uploads", "it hangs"); err != nil {
			return err
		}
		state, err := semaphore.Inspect(ctx, client, "uploads")
		fmt.Println(state.Taken(), "of", state.Limit, "are taken:", state.Revoked[0].Reason)
		return err
	})
	// Output:
	// 0 of 2 are taken: it hangs
}

func ExampleRemove() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		if err := semaphore.SetLimit(ctx, client, "uploads", 0); err != nil { // closed: whoever comes waits
			return err
		}
		failed := make(chan error, 1)
		go func() { _, err := semaphore.Acquire(ctx, s, "uploads", 1); failed <- err }()
		for state, err := range semaphore.Watch(ctx, client, "uploads") {
			if err != nil {
				return err
			}
			if len(state.Waiters) > 0 {
				if err := semaphore.Remove(ctx, client, "uploads", state.Waiters[0].ID, "not today"); err != nil {
					return err
				}
				break
			}
		}
		fmt.Println("it was taken out:", errors.Is(<-failed, semaphore.ErrRemoved))
		return nil
	})
	// Output:
	// it was taken out: true
}
