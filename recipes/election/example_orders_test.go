package election_test

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/session"
)

func ExamplePreempt() {
	example(func(ctx context.Context, _ *clientv3.Client, s *session.Session) error {
		spare, err := election.Campaign(ctx, s, "scheduler")
		if err != nil {
			return err
		}
		best, err := election.Campaign(ctx, s, "scheduler", election.Priority(1), election.Preempt())
		if err != nil {
			return err
		}
		revoked, _ := errors.AsType[*session.RevokedError](context.Cause(spare.Context()))
		fmt.Println(revoked.Reason)
		return best.Resign(ctx)
	})
	// Output: its priority is 1, the leader's 0
}

func ExampleEvict() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler")
		if err != nil {
			return err
		}
		if err := election.Evict(ctx, client, "scheduler", "maintenance", 0, election.By("me")); err != nil {
			return err
		}
		<-term.Context().Done()
		fmt.Println(context.Cause(term.Context()))
		return nil
	})
	// Output: election "scheduler": revoked by me: "maintenance"
}

func ExampleForce() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler")
		if err != nil {
			return err
		}
		if err := election.Force(ctx, client, "scheduler", "it hangs"); err != nil {
			return err
		}
		_, err = election.Leader(ctx, client, "scheduler")
		fmt.Println(err)
		<-term.Context().Done()
		return nil
	})
	// Output: election "scheduler": there is no leader
}

func ExampleRemove() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler")
		if err != nil {
			return err
		}
		failed := make(chan error)
		go func() {
			_, err := election.Campaign(ctx, s, "scheduler")
			failed <- err
		}()
		all, err := waitsFor(ctx, client, 1)
		if err != nil {
			return err
		}
		if err := election.Remove(ctx, client, "scheduler", all[0].ID, "an old version"); err != nil {
			return err
		}
		fmt.Println(errors.Is(<-failed, election.ErrRemoved))
		return term.Resign(ctx)
	})
	// Output: true
}

func ExampleInspect() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler", election.Value("10.0.0.1:8080"))
		if err != nil {
			return err
		}
		st, err := election.Inspect(ctx, client, "scheduler")
		if err != nil {
			return err
		}
		fmt.Printf("%s leads, %d wait\n", st.Leader.Value, len(st.Candidates))
		return term.Resign(ctx)
	})
	// Output: 10.0.0.1:8080 leads, 0 wait
}

func ExampleList() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		for _, name := range []string{"scheduler", "janitor"} {
			if _, err := election.Campaign(ctx, s, name, election.Value("10.0.0.1:8080")); err != nil {
				return err
			}
		}
		all, err := election.List(ctx, client)
		if err != nil {
			return err
		}
		for _, st := range all {
			fmt.Println(st.Name, "is led by", st.Leader.Value)
		}
		return election.Drain(ctx, s)
	})
	// Output:
	// janitor is led by 10.0.0.1:8080
	// scheduler is led by 10.0.0.1:8080
}

func ExampleWatch() {
	example(func(ctx context.Context, client *clientv3.Client, s *session.Session) error {
		term, err := election.Campaign(ctx, s, "scheduler", election.Value("10.0.0.1:8080"))
		if err != nil {
			return err
		}
		for st, err := range election.Watch(ctx, client, "scheduler") {
			switch {
			case err != nil:
				return err
			case st.Leader == nil:
				fmt.Println("nobody leads")
				return nil
			}
			fmt.Println("leader:", st.Leader.Value)
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
