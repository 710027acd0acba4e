package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

// TestConditionsAndOperationsGoWithTheChange: all of it at one revision, or nothing.
func TestConditionsAndOperationsGoWithTheChange(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	var p semaphore.DurablePermit
	calls := []struct {
		name string
		call func(opts ...semaphore.DurableOption) error
	}{
		{"SetLimit", func(opts ...semaphore.DurableOption) error { return d.SetLimit(t.Context(), 2, opts...) }},
		{"Acquire", func(opts ...semaphore.DurableOption) (err error) {
			p, err = d.Acquire(t.Context(), "m1", opts...)
			return err
		}},
		{"Release", func(opts ...semaphore.DurableOption) error { return d.Release(t.Context(), "m1", p.Token, opts...) }},
		{"TryAcquire", func(opts ...semaphore.DurableOption) (err error) {
			p, err = d.TryAcquire(t.Context(), "m1", opts...)
			return err
		}},
		{"Remove", func(opts ...semaphore.DurableOption) error { return d.Remove(t.Context(), "m1", "dead", opts...) }},
	}
	for _, call := range calls {
		before := inspects(t, d).Revision
		audit := "audit/" + call.name
		never := clientv3.Compare(clientv3.CreateRevision("never"), ">", 0)
		put := semaphore.Then(clientv3.OpPut(audit, ""))
		err := call.call(semaphore.If(never), put)
		if !errors.Is(err, semaphore.ErrCondition) || errors.Is(err, session.ErrUnknownOutcome) {
			t.Errorf("%s with a condition that does not hold = %v, want ErrCondition", call.name, err)
		}
		if now := inspects(t, d).Revision; now != before || revisionOf(t, c, audit) != 0 {
			t.Errorf("%s with a condition that does not hold: something was written", call.name)
		}
		if err := call.call(semaphore.If(clientv3.Compare(clientv3.CreateRevision("never"), "=", 0)), put); err != nil {
			t.Errorf("%s = %v", call.name, err)
		}
		if now := inspects(t, d).Revision; now == before || revisionOf(t, c, audit) != now {
			t.Errorf("%s: the operation was done at %d, the change at %d", call.name, revisionOf(t, c, audit), now)
		}
	}
	if s := inspects(t, d); s.Limit != 2 || len(s.Holders) != 0 || len(s.Released) != 2 {
		t.Errorf("%+v", s)
	}
}

func revisionOf(t *testing.T, c *clientv3.Client, key string) int64 {
	t.Helper()
	resp, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return 0
	}
	return resp.Kvs[0].ModRevision
}

// TestWhereNothingChangesNothingIsDone: neither are conditions looked at.
func TestWhereNothingChangesNothingIsDone(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	p := takes(t, d, "m1")
	opts := []semaphore.DurableOption{semaphore.If(clientv3.Compare(clientv3.CreateRevision("never"), ">", 0)), semaphore.Then(clientv3.OpPut("audit", ""))}
	if again, err := d.Acquire(t.Context(), "m1", opts...); err != nil || again.Token != p.Token {
		t.Errorf("Acquire again = %+v, %v", again, err)
	}
	gives(t, d, p)
	if err := d.Release(t.Context(), "m1", p.Token, opts...); err != nil {
		t.Errorf("Release again = %v", err)
	}
	if revisionOf(t, c, "audit") != 0 {
		t.Error("the operation was done")
	}
}

// TestAnOperationOfTheCallersIsRefusedAsEtcdDoes, and changes nothing.
func TestAnOperationOfTheCallersIsRefusedAsEtcdDoes(t *testing.T) {
	d := newDurable(t, recipestest.Client(t), 1)
	for what, op := range map[string]clientv3.Op{
		"its own key":    clientv3.OpPut(durableKey, "{}"),
		"all its keys":   clientv3.OpDelete("/stile/v1/semaphore/", clientv3.WithPrefix()),
		"much too large": clientv3.OpPut("large", strings.Repeat("x", 1600<<10)),
	} {
		_, err := d.TryAcquire(t.Context(), "m1", semaphore.Then(op))
		if !errors.Is(err, rpctypes.ErrDuplicateKey) && !errors.Is(err, rpctypes.ErrRequestTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s := inspects(t, d); len(s.Holders) > 0 {
		t.Errorf("%v hold", s.Holders)
	}
}

// TestWhatIsTooLargeToBeSentIsRefused at once, by gRPC of this process, and nobody has to wait for it.
func TestWhatIsTooLargeToBeSentIsRefused(t *testing.T) {
	d := newDurable(t, recipestest.Client(t), 2)
	p := takes(t, d, "m1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := d.Acquire(ctx, "m2", semaphore.Then(clientv3.OpPut("large", strings.Repeat("x", 3<<20))))
	if status.Code(err) != codes.ResourceExhausted || errors.Is(err, session.ErrUnavailable) || errors.Is(err, session.ErrUnknownOutcome) {
		t.Errorf("Acquire = %v, want gRPC's refusal", err)
	}
	gives(t, d, p)
	if s := inspects(t, d); len(s.Holders) > 0 {
		t.Errorf("%v hold", s.Holders)
	}
}

// TestWhatCanNotBeIsRefusedAtOnce: before anything is sent.
func TestWhatCanNotBeIsRefusedAtOnce(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 1)
	requests := recipestest.Count(c)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	token := fencing.FromRevision(5)
	for what, call := range map[string]func(ctx context.Context) error{
		"an empty id":        func(ctx context.Context) error { return durableErr(d.Acquire(ctx, "")) },
		"a long id":          func(ctx context.Context) error { return durableErr(d.TryAcquire(ctx, strings.Repeat("x", 129))) },
		"a long id as JSON":  func(ctx context.Context) error { return durableErr(d.TryAcquire(ctx, strings.Repeat(`"`, 65))) },
		"a line break":       func(ctx context.Context) error { return durableErr(d.Held(ctx, "a\n")) },
		"not UTF-8":          func(ctx context.Context) error { return d.Remove(ctx, "\xff", "") },
		"no token":           func(ctx context.Context) error { return d.Release(ctx, "m1", fencing.Token{}) },
		"a long reason":      func(ctx context.Context) error { return d.Remove(ctx, "m1", strings.Repeat("x", 257)) },
		"a negative limit":   func(ctx context.Context) error { return d.SetLimit(ctx, -1) },
		"a large limit":      func(ctx context.Context) error { return d.SetLimit(ctx, 1001) },
		"a group of none":    func(ctx context.Context) error { return d.SetLimit(ctx, 1, semaphore.Group("rack", 0)) },
		"a group of nothing": func(ctx context.Context) error { return d.SetLimit(ctx, 1, semaphore.Group("", 1)) },
		"a group twice": func(ctx context.Context) error {
			return d.SetLimit(ctx, 1, semaphore.Group("a", 1), semaphore.Group("a", 1))
		},
		"labels of a limit": func(ctx context.Context) error {
			return d.SetLimit(ctx, 1, semaphore.Labels(map[string]string{"a": "b"}))
		},
		"labels of a release": func(ctx context.Context) error {
			return d.Release(ctx, "m1", token, semaphore.Labels(map[string]string{"a": "b"}))
		},
		"groups of a holder": func(ctx context.Context) error { return durableErr(d.Acquire(ctx, "m1", semaphore.Group("a", 1))) },
		"long labels": func(ctx context.Context) error {
			return durableErr(d.Acquire(ctx, "m1", semaphore.Labels(map[string]string{"a": strings.Repeat("x", 1024)})))
		},
		"a label not UTF-8": func(ctx context.Context) error {
			return durableErr(d.Acquire(ctx, "m1", semaphore.Labels(map[string]string{"rack": "\xff"})))
		},
		"a label's name not UTF-8": func(ctx context.Context) error {
			return durableErr(d.TryAcquire(ctx, "m1", semaphore.Labels(map[string]string{"\xff": "a"})))
		},
		"a group not UTF-8":    func(ctx context.Context) error { return d.SetLimit(ctx, 1, semaphore.Group("\xff", 1)) },
		"a ctx that has ended": func(context.Context) error { return durableErr(d.Acquire(over, "m1")) },
		"a nil ctx":            func(context.Context) error { return durableErr(d.Acquire(nil, "m1")) }, //nolint:staticcheck // on purpose
		"a nil semaphore": func(ctx context.Context) error {
			return durableErr((*semaphore.DurableSemaphore)(nil).Acquire(ctx, "m1"))
		},
		"an empty semaphore": func(ctx context.Context) error { return durableErr((&semaphore.DurableSemaphore{}).Held(ctx, "m1")) },
		"an operation that is none": func(ctx context.Context) error {
			return durableErr(d.Acquire(ctx, "m1", semaphore.Then(clientv3.Op{})))
		},
		"one in a Txn that is none": func(ctx context.Context) error {
			return d.Remove(ctx, "m1", "", semaphore.Then(clientv3.OpTxn(nil, nil, []clientv3.Op{{}})))
		},
		"a nil client": func(ctx context.Context) error { return durableErr(semaphore.Durable(nil, "x").Held(ctx, "m1")) },
		"an empty client": func(ctx context.Context) error {
			return durableErr(semaphore.Durable(&clientv3.Client{}, "x").Inspect(ctx))
		},
		"a bad root": func(ctx context.Context) error {
			return durableErr(semaphore.Durable(c, "x", semaphore.Root("x/")).Inspect(ctx))
		},
	} {
		err := call(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "semaphore") || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, name := range []string{"", "a#b"} {
		if err := semaphore.Durable(c, name).SetLimit(t.Context(), 1); !errors.Is(err, session.ErrBadName) {
			t.Errorf("the name %q: %v, want ErrBadName", name, err)
		}
		for _, err := range semaphore.Durable(c, name).Watch(t.Context()) {
			if !errors.Is(err, session.ErrBadName) {
				t.Errorf("the name %q: %v, want ErrBadName", name, err)
			}
		}
	}
	if n := requests.Total(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func durableErr[T any](_ T, err error) error { return err }

// TestDurableOrLeased: the one whose limit is there first.
func TestDurableOrLeased(t *testing.T) {
	c := recipestest.Client(t)
	d := semaphore.Durable(c, "x")
	if _, err := d.Acquire(t.Context(), "m1"); !errors.Is(err, semaphore.ErrNoLimit) {
		t.Errorf("without a limit: %v, want ErrNoLimit", err)
	}
	if _, err := d.Inspect(t.Context()); !errors.Is(err, semaphore.ErrNoLimit) {
		t.Errorf("without a limit: %v, want ErrNoLimit", err)
	}
	if _, err := c.Put(t.Context(), "/stile/v1/semaphore/x/p/limit", "0002 {}"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{d.SetLimit(t.Context(), 2), durableErr(d.Acquire(t.Context(), "m1")), durableErr(d.Held(t.Context(), "m1"))} {
		if !errors.Is(err, semaphore.ErrLeased) {
			t.Errorf("a leased one's name: %v, want ErrLeased", err)
		}
	}
	if revisionOf(t, c, durableKey) != 0 {
		t.Error("the record was made")
	}
	recipestest.Delete(t, c, "/stile/v1/semaphore/x/p/limit")
	if err := d.SetLimit(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), "/stile/v1/semaphore/x/p/limit", "0002 {}"); err != nil {
		t.Fatal(err)
	}
	if err := d.SetLimit(t.Context(), 3); !errors.Is(err, semaphore.ErrLeased) {
		t.Errorf("both: %v, want ErrLeased", err)
	}
}

// TestTheLimitIsComparedWithTheLeasedOnesAtTheCommit: not only looked for before.
func TestTheLimitIsComparedWithTheLeasedOnesAtTheCommit(t *testing.T) {
	faults := recipestest.NewFaults(t)
	c := recipestest.Client(t, faults)
	late := faults.LateRequest(3, recipestest.Silence) // two looks, then the Txn
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- semaphore.Durable(c, "x").SetLimit(ctx, 2) }()
	<-late.Held()
	if _, err := c.Put(t.Context(), "/stile/v1/semaphore/x/p/limit", "0002 {}"); err != nil {
		t.Fatal(err)
	}
	if err := late.LetThrough(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, session.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("SetLimit = %v, want ErrUnknownOutcome", err)
	}
	if revisionOf(t, c, durableKey) != 0 {
		t.Error("both limits are there")
	}
}

// TestDurableNamesDoNotMeet: neither a and a/b, nor two roots.
func TestDurableNamesDoNotMeet(t *testing.T) {
	c := recipestest.Client(t)
	for _, d := range []*semaphore.DurableSemaphore{
		semaphore.Durable(c, "a"), semaphore.Durable(c, "a/b"), semaphore.Durable(c, "a/durable"), semaphore.Durable(c, "a", semaphore.Root("/other")),
	} {
		if _, err := d.Inspect(t.Context()); !errors.Is(err, semaphore.ErrNoLimit) {
			t.Errorf("Inspect = %v, want ErrNoLimit", err)
		}
		if err := d.SetLimit(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		takes(t, d, "m1")
	}
}

// TestOneNameIsDurableOrLeased: whichever SetLimit comes first, and of many at one time.
func TestOneNameIsDurableOrLeased(t *testing.T) {
	c := recipestest.Client(t)
	d := newDurable(t, c, 2)
	if err := semaphore.SetLimit(t.Context(), c, "x", 2); !errors.Is(err, semaphore.ErrDurable) {
		t.Errorf("the leased SetLimit = %v, want ErrDurable", err)
	}
	takes(t, d, "m1")
	if err := semaphore.SetLimit(t.Context(), c, "y", 2); err != nil {
		t.Fatal(err)
	}
	y := semaphore.Durable(c, "y")
	for _, err := range []error{y.SetLimit(t.Context(), 2), durableErr(y.TryAcquire(t.Context(), "m1"))} {
		if !errors.Is(err, semaphore.ErrLeased) {
			t.Errorf("the durable one = %v, want ErrLeased", err)
		}
	}
	for i := range 20 {
		name := fmt.Sprint("z", i)
		leased := make(chan error)
		go func() { leased <- semaphore.SetLimit(t.Context(), c, name, 2) }()
		err := semaphore.Durable(c, name).SetLimit(t.Context(), 2)
		other := <-leased
		if (err == nil) == (other == nil) || err != nil && !errors.Is(err, semaphore.ErrLeased) || other != nil && !errors.Is(other, semaphore.ErrDurable) {
			t.Errorf("both at one time: %v and %v, want one of them refused", err, other)
		}
	}
}
