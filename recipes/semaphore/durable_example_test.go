package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
)

// durableExample runs f with a client, on an etcd of the tests'. A program makes its client with clientv3.New.
func durableExample(name string, f func(ctx context.Context, client *clientv3.Client) error) {
	t := &durableExampleT{}
	defer t.end()
	if err := f(context.Background(), recipestest.Namespace(t, "durable example "+name)); err != nil {
		fmt.Println(err)
	}
}

// durableExampleT stands for the test that an example has none of.
type durableExampleT struct {
	testing.TB
	cleanups []func()
}

func (*durableExampleT) Helper()                      {}
func (t *durableExampleT) Cleanup(f func())           { t.cleanups = append(t.cleanups, f) }
func (*durableExampleT) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (t *durableExampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}

func ExampleDurable() {
	durableExample("Durable", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil { // once, by whoever decides it
			return err
		}
		if _, err := d.Acquire(ctx, "machine-1"); err != nil {
			return err
		}
		fmt.Println("machine-1 reboots")

		d = semaphore.Durable(client, "web") // the program that runs after the reboot
		p, err := d.Held(ctx, "machine-1")
		if err != nil {
			return err
		}
		fmt.Println("machine-1 is back, and holds", p.Resource)
		return d.Release(ctx, "machine-1", p.Token)
	})
	// Output:
	// machine-1 reboots
	// machine-1 is back, and holds semaphore/web#0
}

func ExampleDurableSemaphore_SetLimit() {
	durableExample("SetLimit", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 5, semaphore.Group("rack", 1)); err != nil { // five machines at one time, and one of a rack
			return err
		}
		if _, err := d.Acquire(ctx, "machine-1", semaphore.Labels(map[string]string{"rack": "a"})); err != nil {
			return err
		}
		_, err := d.TryAcquire(ctx, "machine-2", semaphore.Labels(map[string]string{"rack": "a"}))
		fmt.Println(err)
		return nil
	})
	// Output:
	// semaphore "web": full: 1 of 1 permits are held by holders whose label rack is "a"
}

func ExampleDurableSemaphore_Acquire() {
	durableExample("Acquire", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		p, err := d.Acquire(ctx, "machine-1")
		if err != nil {
			return err
		}
		again, err := d.Acquire(ctx, "machine-1") // the same permit
		fmt.Println("the same:", p.Token == again.Token)
		return err
	})
	// Output:
	// the same: true
}

func ExampleDurableSemaphore_TryAcquire() {
	durableExample("TryAcquire", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		if _, err := d.TryAcquire(ctx, "machine-1"); err != nil {
			return err
		}
		_, err := d.TryAcquire(ctx, "machine-2")
		if full, ok := errors.AsType[*semaphore.DurableFullError](err); ok {
			fmt.Printf("%d of %d are held\n", full.Held, full.Limit)
		}
		return nil
	})
	// Output:
	// 1 of 1 are held
}

func ExampleDurableSemaphore_Held() {
	durableExample("Held", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		_, err := d.Held(ctx, "machine-1")
		fmt.Println("it has never asked:", errors.Is(err, semaphore.ErrNotHeld))
		return nil
	})
	// Output:
	// it has never asked: true
}

func ExampleDurableSemaphore_Release() {
	durableExample("Release", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		p, err := d.Acquire(ctx, "machine-1")
		if err != nil {
			return err
		}
		fmt.Println(d.Release(ctx, p.ID, p.Token))
		fmt.Println(d.Release(ctx, p.ID, p.Token)) // twice is the same as once
		return nil
	})
	// Output:
	// <nil>
	// <nil>
}

func ExampleDurableSemaphore_Remove() {
	durableExample("Remove", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		p, err := d.Acquire(ctx, "machine-1")
		if err != nil {
			return err
		}
		if err := d.Remove(ctx, "machine-1", "its power supply is dead"); err != nil {
			return err
		}
		fmt.Println(d.Release(ctx, "machine-1", p.Token)) // it came back after all
		return nil
	})
	// Output:
	// semaphore "web": release: "machine-1": lost: it was removed: its power supply is dead
}

func ExampleDurableSemaphore_Inspect() {
	durableExample("Inspect", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 2); err != nil {
			return err
		}
		if _, err := d.Acquire(ctx, "machine-1", semaphore.Labels(map[string]string{"why": "new kernel"})); err != nil {
			return err
		}
		state, err := d.Inspect(ctx)
		for _, h := range state.Holders {
			fmt.Println(h.ID, "in slot", h.Slot, "of", state.Limit, h.Labels["why"])
		}
		return err
	})
	// Output:
	// machine-1 in slot 0 of 2 new kernel
}

func ExampleDurableSemaphore_Watch() {
	durableExample("Watch", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 2); err != nil {
			return err
		}
		for state, err := range d.Watch(ctx) {
			if err != nil {
				return err
			}
			fmt.Println(len(state.Holders), "of", state.Limit)
			if len(state.Holders) == 1 {
				break
			}
			if _, err := d.Acquire(ctx, "machine-1"); err != nil {
				return err
			}
		}
		return nil
	})
	// Output:
	// 0 of 2
	// 1 of 2
}

func ExampleThen() {
	durableExample("Then", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		open := clientv3.Compare(clientv3.CreateRevision("fleet/paused"), "=", 0)
		p, err := d.Acquire(ctx, "machine-1", semaphore.If(open), semaphore.Then(clientv3.OpPut("audit/machine-1", "reboots")))
		if err != nil {
			return err
		}
		audit, err := client.Get(ctx, "audit/machine-1")
		if err != nil {
			return err
		}
		fmt.Println("written with the grant:", fencing.FromRevision(audit.Kvs[0].ModRevision) == p.Token)
		return nil
	})
	// Output:
	// written with the grant: true
}

func ExampleIf() {
	durableExample("If", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		if _, err := client.Put(ctx, "fleet/paused", "until Monday"); err != nil {
			return err
		}
		_, err := d.Acquire(ctx, "machine-1", semaphore.If(clientv3.Compare(clientv3.CreateRevision("fleet/paused"), "=", 0)))
		fmt.Println("paused:", errors.Is(err, semaphore.ErrCondition))
		return nil
	})
	// Output:
	// paused: true
}

func ExampleDurablePermit_Context() {
	durableExample("Context", func(ctx context.Context, client *clientv3.Client) error {
		d := semaphore.Durable(client, "web")
		if err := d.SetLimit(ctx, 1); err != nil {
			return err
		}
		p, err := d.Acquire(ctx, "machine-1")
		if err != nil {
			return err
		}
		claim, err := fencing.FromContext(p.Context(ctx)) // as the guards do
		fmt.Println(claim.Resource, claim.Mode, claim.Token == p.Token)
		return err
	})
	// Output:
	// semaphore/web#0 exclusive true
}
