package etcdfence_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/etcdfence"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// client is a client of an etcd of the tests'. A program makes it with clientv3.New.
func client(name string) (c *clientv3.Client, done func()) {
	t := &exampleT{}
	return recipestest.Namespace(t, name), t.end
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

// What is written under a lock is written in the etcd that has the lock.
func ExampleKV() {
	ctx := context.Background()
	c, done := client("example KV")
	defer done()
	s, err := session.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	kv := etcdfence.NewKV(c)
	err = lock.Do(ctx, s, "config", func(ctx context.Context) error {
		_, err := kv.Put(ctx, "color", "green")
		return err
	})
	fmt.Println("in the lock:", err)
	_, err = kv.Put(ctx, "color", "red")
	fmt.Println("outside:", errors.Is(err, fencing.ErrNoClaim))
	// Output:
	// in the lock: <nil>
	// outside: true
}

// The lock is somewhere else; what is written under it is in this etcd.
func ExampleGate() {
	ctx := context.Background()
	c, done := client("example Gate")
	defer done()
	hold := func(rev int64) context.Context { // lock.Do gives its work such a context
		return fencing.NewContext(ctx, fencing.Claim{Resource: "lock/config", Token: fencing.FromRevision(rev)})
	}

	gate := etcdfence.NewGate(c, "fence/")
	write := func(ctx context.Context, color string) error {
		_, err := gate.Txn(ctx).Then(clientv3.OpPut("color", color)).Commit()
		return err
	}
	stopped, next := hold(41), hold(57)
	fmt.Println("seal:", gate.Seal(next)) // before it reads
	fmt.Println("late:", write(stopped, "red"))
	fmt.Println("next:", write(next, "green"))
	// Output:
	// seal: <nil>
	// late: fencing "lock/config": stale fencing token: 41 was presented, 57 was seen
	// next: <nil>
}
