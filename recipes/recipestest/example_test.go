package recipestest_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// In a test, t is its *testing.T, and nothing needs to be closed.
func ExampleClient() {
	t := &exampleT{}
	defer t.end()
	ctx := context.Background()

	mine, theirs := recipestest.Client(t), recipestest.Client(t)
	for _, c := range []*clientv3.Client{mine, theirs} { // each sees a part of its own
		resp, err := c.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision("name"), "=", 0)).
			Then(clientv3.OpPut("name", "value")).Commit()
		fmt.Println("the name is free:", resp.Succeeded, err)
	}
	// Output:
	// the name is free: true <nil>
	// the name is free: true <nil>
}

// What does a program do when its connection breaks, and when it can connect again?
func ExampleProxy() {
	t := &exampleT{}
	defer t.end()
	proxy := recipestest.NewProxy(t, recipestest.Endpoint(t))
	client := recipestest.Client(t, proxy)
	get := func(patience time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := client.Get(ctx, "key")
		fmt.Println("etcd answers:", err == nil)
	}

	get(10 * time.Second)
	proxy.Cut(recipestest.Reset)
	get(300 * time.Millisecond)
	proxy.Mend()
	client.ActiveConnection().ResetConnectBackoff() // otherwise it waits a second before it connects again
	get(10 * time.Second)
	// Output:
	// etcd answers: true
	// etcd answers: false
	// etcd answers: true
}

// The client doesn't hear the answer to its first request; etcd has done what it asked.
func ExampleFaults_DropAnswer() {
	t := &exampleT{}
	defer t.end()
	ctx := context.Background()
	faults := recipestest.NewFaults(t)
	client := recipestest.Client(t, faults)

	lost := faults.DropAnswer(1, recipestest.Reset)
	_, err := client.Put(ctx, "key", "value")
	fmt.Println("the client hears:", status.Code(err))
	<-lost.Answered()
	fmt.Println("etcd had said:", lost.Err())

	resp, err := client.Get(ctx, "key")
	fmt.Println("the key is there:", resp.Count == 1, err)
	// Output:
	// the client hears: Unavailable
	// etcd had said: <nil>
	// the key is there: true <nil>
}

// A request that its client has given up is applied later, when nobody expects it any more.
func ExampleFaults_LateRequest() {
	t := &exampleT{}
	defer t.end()
	faults := recipestest.NewFaults(t)
	client := recipestest.Client(t, faults)
	put := func(value string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, err := client.Put(ctx, "key", value)
		return err
	}

	late := faults.LateRequest(1, recipestest.Silence)
	fmt.Println("first:", put("first"))
	fmt.Println("second:", put("second"))
	fmt.Println("late:", late.LetThrough())
	resp, err := client.Get(context.Background(), "key")
	fmt.Printf("%s %v\n", resp.Kvs[0].Value, err)
	// Output:
	// first: context deadline exceeded
	// second: <nil>
	// late: <nil>
	// first <nil>
}

// The leader is cut off from the other members. Clients that know them go on; one that knows it alone doesn't.
func ExampleCluster() {
	t := &exampleT{}
	defer t.end()
	cluster := recipestest.NewCluster(t, 3)
	put := func(c *clientv3.Client, patience time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := c.Put(ctx, "key", "value")
		fmt.Println("written:", err == nil)
	}

	old := cluster.Leader()
	cluster.Cut(old)
	put(cluster.Member(old).Client(), 300*time.Millisecond)
	next := (old + 1) % cluster.Size()
	cluster.MoveLeader(next) // there is one that most members follow, as soon as they have noticed
	put(cluster.Member(next).Client(), 10*time.Second)
	cluster.Mend()
	// Output:
	// written: false
	// written: true
}

// A holder is stopped after it has read the balance; another withdraws; then the first goes on. Does the resource refuse it?
func ExampleZombie() {
	t := &exampleT{}
	defer t.end()
	ctx := context.Background()
	client := recipestest.Client(t)

	var gate fencing.Memory // the resource
	balance := 100
	withdraw := func(ctx context.Context, amount int) error {
		return gate.Do(ctx, func() error { balance -= amount; return nil })
	}
	account := func(work func(ctx context.Context) error) error { // a process
		s, err := session.Open(ctx, client)
		if err != nil {
			return err
		}
		defer s.Close(ctx)
		return lock.Do(ctx, s, "account/7", work)
	}

	recipestest.Zombie(t, client, func(pause recipestest.Pause) error {
		return account(func(ctx context.Context) error {
			ctx = pause(ctx)
			return withdraw(ctx, 60)
		})
	}, func() error {
		return account(func(ctx context.Context) error { return withdraw(ctx, 70) })
	})
	fmt.Println("balance:", balance)
	// Output:
	// balance: 30
}

// exampleT stands for the test that an example has none of.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (*exampleT) Helper()                      {}
func (*exampleT) Name() string                 { return "example" }
func (*exampleT) Errorf(f string, args ...any) { fmt.Printf(f+"\n", args...) }
func (t *exampleT) Cleanup(f func())           { t.cleanups = append(t.cleanups, f) }
func (*exampleT) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func (t *exampleT) TempDir() string {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
