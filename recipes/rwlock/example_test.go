package rwlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
)

// example runs f with a session on a server of its own.
func example(f func(ctx context.Context, client *clientv3.Client, s *session.Session) error) {
	ctx := context.Background()
	srv, err := server.Start(ctx, server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}, NoFsync: true})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close(ctx)
	s, err := session.Open(ctx, srv.Client())
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close(ctx)
	if err := f(ctx, srv.Client(), s); err != nil {
		log.Fatal(err)
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
		var held *rwlock.HeldError
		if errors.As(err, &held) {
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
