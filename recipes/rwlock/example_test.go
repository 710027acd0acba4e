package rwlock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// example runs f with a session, on an etcd of the tests'. A program makes its client with clientv3.New.
func example(f func(ctx context.Context, client *clientv3.Client, s *session.Session) error) {
	t := &exampleT{}
	defer t.end()
	ctx, client := context.Background(), recipestest.Namespace(t, "examples")
	s, err := session.Open(ctx, client)
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
	example(func(ctx context.Context, _ *clientv3.Client, s *session.Session) error {
		err := rwlock.DoRead(ctx, s, "index", func(context.Context) error {
			fmt.Println("searching, together with others")
			return nil
		})
		if err != nil {
			return err
		}
		return rwlock.DoWrite(ctx, s, "index", func(context.Context) error {
			fmt.Println("rebuilding, alone")
			return nil
		})
	})
	// Output:
	// searching, together with others
	// rebuilding, alone
}

func ExampleWrite_Downgrade() {
	example(func(ctx context.Context, _ *clientv3.Client, s *session.Session) error {
		w, err := rwlock.AcquireWrite(ctx, s, "index")
		if err != nil {
			return err
		}
		fmt.Println("rebuilt")
		r, err := w.Downgrade(ctx) // no writer gets in between
		if err != nil {
			return err
		}
		defer r.Release(ctx)
		fmt.Println("verified, while others read as well")
		return nil
	})
	// Output:
	// rebuilt
	// verified, while others read as well
}

func ExampleTryAcquireWrite() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		r, err := rwlock.AcquireRead(ctx, s, "index")
		if err != nil {
			return err
		}
		defer r.Release(ctx)
		_, err = rwlock.TryAcquireWrite(ctx, s, "index")
		if held, ok := errors.AsType[*rwlock.HeldError](err); ok {
			fmt.Println("readers:", len(held.State.Readers))
		}
		state, err := rwlock.Inspect(ctx, client, "index")
		fmt.Println("a writer:", state.Writer != nil, "waiting:", len(state.Waiters))
		return err
	})
	// Output:
	// readers: 1
	// a writer: false waiting: 0
}
