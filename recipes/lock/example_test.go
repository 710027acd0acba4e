package lock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// client is a client of an etcd of the tests'. A program makes it with clientv3.New.
func client() (c *clientv3.Client, done func()) {
	t := &exampleT{}
	return recipestest.Namespace(t, "examples"), t.end
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

func ExampleDo() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	err = lock.Do(ctx, s, "reports/nightly", func(ctx context.Context) error {
		claim, err := fencing.FromContext(ctx) // the guards in fencing do this
		fmt.Println("working on", claim.Resource)
		return err
	})
	fmt.Println(err)
	// Output:
	// working on lock/reports/nightly
	// <nil>
}

func ExampleTryAcquire() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	held, err := lock.TryAcquire(ctx, s, "migration")
	fmt.Println(err)
	_, err = lock.TryAcquire(ctx, s, "migration") // anybody else, or we again
	fmt.Println(errors.Is(err, lock.ErrHeld))

	// Commits only while the lock is held.
	_, err = held.Txn(ctx).Then(clientv3.OpPut("schema", "42")).Commit()
	fmt.Println(err)
	fmt.Println(held.Release(ctx))
	// Output:
	// <nil>
	// true
	// <nil>
	// <nil>
}

func ExampleAcquireAll() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	held, err := lock.AcquireAll(ctx, s, "accounts/4711", "accounts/815")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer held.Release(ctx)
	// Several locks, several claims: a guard is told which one it guards.
	from, err := fencing.FromContext(fencing.For(held.Context(), "lock/accounts/4711"))
	fmt.Println(from.Resource, err)
	// Output: lock/accounts/4711 <nil>
}

func ExampleWatch() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c, session.Labels(map[string]string{"job": "backup"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	held, err := lock.Acquire(ctx, s, "backup")
	if err != nil {
		fmt.Println(err)
		return
	}
	for state, err := range lock.Watch(ctx, c, "backup") {
		if err != nil {
			fmt.Println(err)
			break
		}
		if state.Holder == nil {
			fmt.Println("free")
			break
		}
		fmt.Println("held by", state.Holder.Labels["job"])
		if err := held.Release(ctx); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// held by backup
	// free
}

func ExampleRevoke() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	held, err := lock.Acquire(ctx, s, "backup")
	if err != nil {
		fmt.Println(err)
		return
	}
	// Somebody else, who knows the name:
	err = lock.Revoke(ctx, c, "backup", "the disk is to be replaced", time.Minute, lock.By("ops"))
	fmt.Println(err)

	<-held.Revoking() // between two steps of the work
	fmt.Println(held.Revocation().By, "asks:", held.Revocation().Reason)
	fmt.Println(held.Release(ctx))
	// Output:
	// <nil>
	// ops asks: the disk is to be replaced
	// <nil>
}

func ExampleForce() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	held, err := lock.Acquire(ctx, s, "stuck")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(lock.Force(ctx, c, "stuck", "it hangs", lock.By("ops")))
	_, err = held.Txn(ctx).Then(clientv3.OpPut("late", "")).Commit()
	fmt.Println(errors.Is(err, session.ErrLost))
	// Output:
	// <nil>
	// true
}

func ExampleRemove() {
	ctx := context.Background()
	c, done := client()
	defer done()
	fmt.Println(lock.Remove(ctx, c, "deploy", "0f4b0f6e-6c1e-4a57-9a2e-8a1d0a0d7a10", "not today"))
	// Output:
	// lock "deploy": remove: "0f4b0f6e-6c1e-4a57-9a2e-8a1d0a0d7a10": does not wait
}

func ExampleMaxHold() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	err = lock.Do(ctx, s, "reports/weekly", func(ctx context.Context) error {
		<-ctx.Done() // this takes too long
		return nil
	}, lock.MaxHold(10*time.Millisecond))
	fmt.Println(errors.Is(err, session.ErrMaxHold))
	// Output: true
}

func ExamplePosition() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	first, err := lock.Acquire(ctx, s, "printer")
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := lock.Acquire(ctx, s, "printer", lock.Position(func(ahead int) {
		fmt.Println(ahead, "in front")
		go first.Release(ctx)
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(second.Release(ctx))
	// Output:
	// 1 in front
	// <nil>
}

func ExampleDelay() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	// The robot takes commands from whoever sends them, and may be late by half a minute.
	held, err := lock.Acquire(ctx, s, "robot", lock.Delay(30*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(lock.Force(ctx, c, "robot", "it does not answer", lock.By("ops")))
	state, err := lock.Inspect(ctx, c, "robot")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("nobody holds it:", state.Holder == nil, "and nobody can yet:", state.Kept != nil)
	fmt.Println(errors.Is(held.Release(ctx), session.ErrLost))
	// Output:
	// <nil>
	// nobody holds it: true and nobody can yet: true
	// true
}

func ExampleMinHold() {
	ctx := context.Background()
	c, done := client()
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	nightly := func(context.Context) error { fmt.Println("runs"); return nil }
	fmt.Println(lock.TryDo(ctx, s, "reports/nightly", nightly, lock.MinHold(10*time.Minute)))
	// Another machine, whose clock is a minute late:
	fmt.Println(errors.Is(lock.TryDo(ctx, s, "reports/nightly", nightly, lock.MinHold(10*time.Minute)), lock.ErrHeld))
	// Output:
	// runs
	// <nil>
	// true
}
