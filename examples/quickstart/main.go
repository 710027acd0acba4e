// Command quickstart takes a lock, shows its fencing token, and writes to etcd only while it holds it.
//
//	go run ./examples/quickstart                                   # on a server of its own
//	go run ./examples/quickstart -endpoint http://127.0.0.1:2379   # on yours
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
)

func main() {
	endpoint := flag.String("endpoint", "", "`URL` of an etcd; without one, a server in this process")
	flag.Parse()
	if err := run(*endpoint); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(endpoint string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, hangUp, err := connect(ctx, endpoint)
	if err != nil {
		return err
	}
	defer hangUp()
	s, err := session.Open(ctx, client)
	if err != nil {
		return err
	}
	defer s.Close(ctx)

	// The form to begin with: work runs while the lock is held, and its ctx ends with the lock.
	err = lock.Do(ctx, s, "greeting", func(ctx context.Context) error {
		claim, err := fencing.FromContext(ctx)
		fmt.Println("holding", claim.Resource, "with token", claim.Token)
		return err
	})
	if err != nil {
		return err
	}
	return write(ctx, s)
}

// write holds the lock as a value, for work that isn't one function.
func write(ctx context.Context, s *session.Session) error {
	held, err := lock.Acquire(ctx, s, "greeting")
	if err != nil {
		return err
	}
	defer held.Release(ctx)
	greet := clientv3.OpPut("greeting", "hello")
	resp, err := held.Txn(ctx).Then(greet).Commit() // etcd commits it only while the lock is held
	if err != nil {
		return err
	}
	fmt.Println("written with token", held.Token(), "at revision", resp.Header.Revision)

	if err := held.Release(ctx); err != nil {
		return err
	}
	if _, err := held.Txn(ctx).Then(greet).Commit(); !errors.Is(err, session.ErrReleased) {
		return fmt.Errorf("a write after the release: %w", err)
	}
	fmt.Println("released: the same write is refused")
	return nil
}

// connect returns a client of the etcd at endpoint, or of a server that it starts in this process.
func connect(ctx context.Context, endpoint string) (client *clientv3.Client, hangUp func(), err error) {
	if endpoint != "" {
		client, err = clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
		return client, func() { _ = client.Close() }, err
	}
	srv, err := server.Start(ctx, server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		return nil, nil, err
	}
	return srv.Client(), func() { _ = srv.Close(ctx) }, nil
}
