package election_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/recipestest"
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

// waitsFor waits until so many candidates stand for the election.
func waitsFor(ctx context.Context, client *clientv3.Client, n int) ([]election.Candidate, error) {
	for {
		if all, err := election.Candidates(ctx, client, "scheduler"); err != nil || len(all) == n {
			return all, err
		}
	}
}

func Example() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		return election.Run(ctx, s, "scheduler", func(ctx context.Context, _ *election.Term) error {
			in, err := election.Leader(ctx, client, "scheduler")
			fmt.Println(in.Value, "schedules")
			return err
		}, election.Value("10.0.0.1:8080"))
	})
	// Output: 10.0.0.1:8080 schedules
}

func ExampleRun() {
	example(func(ctx context.Context, _ *clientv3.Client, s *session.Session) error {
		ctx, stop := context.WithCancel(ctx) // in a program: signal.NotifyContext
		terms := 0
		err := election.Run(ctx, s, "scheduler", func(ctx context.Context, _ *election.Term) error {
			if terms++; terms < 3 {
				return errors.New("a bad day")
			}
			fmt.Println("it works the third time")
			stop()
			<-ctx.Done() // work ends with its context
			return nil
		}, election.Again(backoff.NewConstantBackOff(time.Millisecond)))
		return err
	})
	// Output: it works the third time
}

func ExampleCampaign() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler", election.Value("starting"))
		if err != nil {
			return err
		}
		defer term.Resign(ctx)
		if err := term.Proclaim(ctx, "10.0.0.1:8080"); err != nil {
			return err
		}
		// Only the leader can write this:
		if _, err := term.Txn(ctx).Then(clientv3.OpPut("plan", "1")).Commit(); err != nil {
			return err
		}
		in, err := election.Leader(ctx, client, "scheduler")
		fmt.Println(in.Value, in.Term == term.Token())
		return err
	})
	// Output: 10.0.0.1:8080 true
}

func ExampleTerm_HandOver() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler")
		if err != nil {
			return err
		}
		led := make(chan error)
		go func() {
			led <- election.Run(ctx, s, "scheduler", func(context.Context, *election.Term) error {
				fmt.Println("the new version leads")
				return nil
			}, election.Value("v2"))
		}()
		all, err := waitsFor(ctx, client, 1)
		if err != nil {
			return err
		}
		if err := term.HandOver(ctx, all[0].ID); err != nil {
			return err
		}
		fmt.Println(context.Cause(term.Context()))
		return <-led
	})
	// Unordered output:
	// election "scheduler": released
	// the new version leads
}

func ExampleObserve() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler", election.Value("10.0.0.1:8080"))
		if err != nil {
			return err
		}
		for change, err := range election.Observe(ctx, client, "scheduler") {
			switch {
			case err != nil:
				return err
			case change.Leader == nil:
				fmt.Println("nobody leads")
				return nil
			}
			fmt.Println("leader:", change.Leader.Value)
			if err := term.Resign(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	// Output:
	// leader: 10.0.0.1:8080
	// nobody leads
}

func ExampleDrain() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler")
		if err != nil {
			return err
		}
		if err := election.Drain(ctx, s); err != nil { // before this process is replaced
			return err
		}
		fmt.Println(context.Cause(term.Context()))
		_, err = election.Leader(ctx, client, "scheduler")
		fmt.Println(err)
		return nil
	})
	// Output:
	// election "scheduler": the session was drained of its elections
	// election "scheduler": there is no leader
}

func ExampleCandidates() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler")
		if err != nil {
			return err
		}
		for i, value := range []string{"spare", "best"} {
			go func() { _, _ = election.Campaign(ctx, s, "scheduler", election.Value(value), election.Priority(i)) }()
		}
		all, err := waitsFor(ctx, client, 2)
		for _, one := range all {
			fmt.Println(one.Value, one.Priority)
		}
		return errors.Join(err, election.Drain(ctx, s), term.Resign(ctx))
	})
	// Output:
	// best 1
	// spare 0
}
