// Command workerfleet is one worker of a fleet that shares the work on some shards. Whoever is in the fleet stands for its election; the leader says which
// worker works on which shard, and when one dies its shards move to the others. Start several:
//
//	stile serve                                                     # or any etcd
//	go run ./examples/workerfleet -endpoint http://127.0.0.1:2379 -name a
//	go run ./examples/workerfleet -endpoint http://127.0.0.1:2379 -name b
//
// The leader's plan is fenced by its term: one that was cut off and doesn't know it can't write it any more. A shard is worked on under a lock of its
// own, so that the old worker has stopped before the new one begins, whatever the plan says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v4"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/session"
)

// fleet is the election's name, and where the plan stands.
const fleet = "workerfleet"

func main() {
	endpoint := flag.String("endpoint", "http://127.0.0.1:2379", "`URL` of an etcd")
	name := flag.String("name", "", "this worker's `name`, its own in the fleet")
	shards := flag.Int("shards", 12, "how many shards there are")
	ttl := flag.Duration("ttl", 6*time.Second, "how long the others wait when this worker dies")
	flag.Parse()
	if err := run(*endpoint, *name, *shards, *ttl); err != nil {
		fmt.Fprintln(os.Stderr, "workerfleet:", err)
		os.Exit(1)
	}
}

func run(endpoint, name string, shards int, ttl time.Duration) error {
	if name == "" || shards < 1 {
		return errors.New("a worker has a -name, and there is 1 shard at least")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := session.Open(ctx, client, session.TTL(ttl))
	if err != nil {
		return err
	}
	w := &worker{name: name, client: client, session: s}
	working := make(chan error, 1)
	go func() { working <- w.work(ctx) }()
	// Standing for the election is being in the fleet: etcd takes a candidate out of it when its session ends.
	err = election.Run(ctx, s, fleet, func(ctx context.Context, term *election.Term) error {
		fmt.Println(name, "leads")
		err := lead(ctx, client, term, shards)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, name, "resigns, and stands again:", err) // it works on meanwhile
		}
		return err
	}, election.Value(name), election.Again(backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0))))
	if ctx.Err() != nil { // it was stopped: it has left the fleet, and another leads
		err = nil
	}
	stop()
	return errors.Join(err, <-working, s.Close(context.Background()))
}
