// Command ratelimit has a fleet of workers ask a service, no more of them at once than a semaphore allows, and resizes that while they run.
//
//	go run ./examples/ratelimit                                   # on a server of its own
//	go run ./examples/ratelimit -endpoint http://127.0.0.1:2379   # on yours
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
	"github.com/stile-dev/stile/server"
)

const (
	name    = "ratelimit"
	workers = 12
	calls   = 40 // of them all with each limit, at least
)

func main() {
	endpoint := flag.String("endpoint", "", "`URL` of an etcd; without one, a server in this process")
	flag.Parse()
	if err := run(*endpoint); err != nil {
		fmt.Fprintln(os.Stderr, "ratelimit:", err)
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
	if err := semaphore.SetLimit(ctx, client, name, 0); err != nil { // closed: the fleet waits
		return err
	}
	s := &service{busy: map[int]bool{}, takes: 3 * time.Millisecond, answered: make(chan struct{}, 1)}
	working, enough := context.WithCancel(ctx)
	var fleet sync.WaitGroup
	failed := make(chan error, workers)
	for range workers {
		fleet.Go(func() {
			err := work(working, client, s)
			if err != nil {
				enough() // with fewer workers the limit might never be reached
			}
			failed <- err
		})
	}
	err = resize(working, client, s)
	enough()
	fleet.Wait()
	for range workers {
		err = errors.Join(err, <-failed)
	}
	return err
}

// work is one worker: a process of its own, elsewhere.
func work(ctx context.Context, client *clientv3.Client, s *service) error {
	sess, err := session.Open(ctx, client)
	if err != nil {
		return err
	}
	defer sess.Close(ctx)
	for ctx.Err() == nil {
		permit, err := semaphore.Acquire(ctx, sess, name, 1)
		if err != nil {
			return unless(ctx, err)
		}
		asked := s.ask(permit.Context(), permit.Slots()[0])
		if err := unless(ctx, errors.Join(asked, permit.Release(ctx))); err != nil { // its permit was lost: the next call has one of its own
			fmt.Fprintln(os.Stderr, "ratelimit: a call failed, going on:", err)
		}
	}
	return nil
}

// unless is err, unless that only says that ctx has ended.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// resize sets one limit after the other, and says how many the service has seen at once with each.
func resize(ctx context.Context, client *clientv3.Client, s *service) error {
	for _, limit := range []int{2, 5, 1} {
		if err := semaphore.SetLimit(ctx, client, name, limit); err != nil {
			return err
		}
		if err := drained(ctx, client, limit); err != nil {
			return err
		}
		most, err := s.watch(ctx, limit)
		if err != nil {
			return err
		}
		fmt.Printf("limit %d: %d workers, at most %d at once\n", limit, workers, most)
	}
	return nil
}

// drained waits until no more permits are held than the limit: lowering it took nothing from anybody.
func drained(ctx context.Context, client *clientv3.Client, limit int) error {
	for state, err := range semaphore.Watch(ctx, client, name) {
		if err != nil || state.Taken() <= limit {
			return err
		}
	}
	return nil
}

// connect returns a client of the etcd at endpoint, or of a server that it starts in this process.
func connect(ctx context.Context, endpoint string) (client *clientv3.Client, hangUp func(), err error) {
	if endpoint != "" {
		client, err = clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
		return client, func() { _ = client.Close() }, err
	}
	srv, err := server.Start(ctx, server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		return nil, nil, err
	}
	return srv.Client(), func() { _ = srv.Close(ctx) }, nil
}
