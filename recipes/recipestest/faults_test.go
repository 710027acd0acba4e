package recipestest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestTheAnswerOfTheNthRequestIsLost: of three writes each is applied once, and the client doesn't hear of the n-th alone.
func TestTheAnswerOfTheNthRequestIsLost(t *testing.T) {
	for s, name := range symptoms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= 3; n++ {
				f := NewFaults(t)
				c := Client(t, f)
				put(t, c, "before", "")
				lost := f.DropAnswer(n, s)
				for i := 1; i <= 3; i++ {
					key := fmt.Sprint(i)
					if i != n {
						put(t, c, key, "v")
						continue
					}
					if err := lost.Err(); !errors.Is(err, errNotYet) {
						t.Errorf("Err = %v before the request came, want errNotYet", err)
					}
					_, err := c.Put(within(t, soon), key, "v")
					wantTold(t, err, s)
					await(t, "the server's answer", lost.Answered())
					if err := lost.Err(); err != nil {
						t.Errorf("the server answered %v, want nil", err)
					}
				}
				if got, want := f.Sent(), 4; got != want {
					t.Errorf("%d requests were sent, want %d", got, want)
				}
				for i := 1; i <= 3; i++ {
					wantKey(t, c, fmt.Sprint(i), "v", 1)
				}
			}
		})
	}
}

// TestALostAnswerIsAppliedAlthoughTheClientHasGivenUp: its ctx has ended before the server could answer.
func TestALostAnswerIsAppliedAlthoughTheClientHasGivenUp(t *testing.T) {
	for s, name := range symptoms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := NewFaults(t)
			p := NewProxy(t, Endpoint(t))
			c := Client(t, p, f)
			put(t, c, "x", "old") // connects
			p.Hold(ToServer)
			lost := f.DropAnswer(1, s)
			_, err := c.Put(within(t, soon), "x", "new")
			wantTold(t, err, Silence) // its deadline came before the reset
			p.Release(ToServer)
			await(t, "the server's answer", lost.Answered())
			wantKey(t, c, "x", "new", 2)
		})
	}
}

// TestWhichRequestsAreCounted: those with one answer, each once, and no others.
func TestWhichRequestsAreCounted(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	ctx := within(t, late)
	lease, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	calls := []struct {
		name string
		n    int
		call func() error
	}{
		{"Get", 1, func() error { _, err := c.Get(ctx, "k"); return err }},
		{"Put", 1, func() error { _, err := c.Put(ctx, "k", "v"); return err }},
		{"Delete", 1, func() error { _, err := c.Delete(ctx, "k"); return err }},
		{"Txn", 1, func() error { _, err := c.Txn(ctx).Then(clientv3.OpPut("k", "v")).Commit(); return err }},
		{"TimeToLive", 1, func() error { _, err := c.TimeToLive(ctx, lease.ID); return err }},
		{"Leases", 1, func() error { _, err := c.Leases(ctx); return err }},
		{"Grant", 1, func() error { _, err := c.Grant(ctx, 60); return err }},
		{"KeepAliveOnce", 0, func() error { _, err := c.KeepAliveOnce(ctx, lease.ID); return err }},
		{"Watch", 0, func() error { resp := <-c.Watch(ctx, "k", clientv3.WithCreatedNotify()); return resp.Err() }},
		{"Status", 0, func() error { _, err := c.Status(ctx, Endpoint(t)); return err }},
		{"Revoke", 1, func() error { _, err := c.Revoke(ctx, lease.ID); return err }},
	}
	for _, call := range calls {
		before := f.Sent()
		if err := call.call(); err != nil {
			t.Errorf("%s: %v", call.name, err)
		}
		if got := f.Sent() - before; got != call.n {
			t.Errorf("%s counts as %d requests, want %d", call.name, got, call.n)
		}
	}
}

// TestWhatEtcdsClientRepeatsAfterAReset: reads, and no writes.
func TestWhatEtcdsClientRepeatsAfterAReset(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	f.DropAnswer(1, Reset)
	if _, err := c.Get(within(t, late), "x"); err != nil || f.Sent() != 2 {
		t.Errorf("Get = %v after %d requests, want nil after 2", err, f.Sent())
	}
	f.DropAnswer(1, Reset)
	_, err := c.Put(within(t, late), "x", "v")
	wantTold(t, err, Reset)
	if got := f.Sent(); got != 3 {
		t.Errorf("%d requests were sent, want 3: a write is not repeated", got)
	}
	wantKey(t, c, "x", "v", 1)
}

func TestTheErrorOfALostAnswer(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	lost := f.DropAnswer(1, Reset)
	_, err := c.Put(within(t, late), "x", "v", clientv3.WithLease(12345))
	wantTold(t, err, Reset)
	if err := rpctypes.Error(lost.Err()); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("the server answered %v, want ErrLeaseNotFound", err)
	}
}

// TestALateRequestIsAppliedWhenItIsLetThrough, once, and not before.
func TestALateRequestIsAppliedWhenItIsLetThrough(t *testing.T) {
	for s, name := range symptoms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := NewFaults(t)
			c := Client(t, f)
			delayed := f.LateRequest(2, s)
			put(t, c, "x", "first")
			if err := delayed.LetThrough(); !errors.Is(err, errNotYet) {
				t.Errorf("LetThrough = %v before the request came, want errNotYet", err)
			}
			_, err := c.Put(within(t, soon), "x", "late")
			wantTold(t, err, s)
			await(t, "the request", delayed.Held())
			wantKey(t, c, "x", "first", 1)
			put(t, c, "x", "second")
			for range 2 {
				if err := delayed.LetThrough(); err != nil {
					t.Fatalf("LetThrough = %v", err)
				}
				wantKey(t, c, "x", "late", 3)
			}
			if got, want := f.Sent(), 6; got != want { // 3 puts, 3 looks
				t.Errorf("%d requests were sent, want %d", got, want)
			}
		})
	}
}

// TestALateRequestKeepsItsConditions: what forbids it meanwhile is obeyed.
func TestALateRequestKeepsItsConditions(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	join := func() error {
		_, err := c.Txn(within(t, late)).If(clientv3.Compare(clientv3.CreateRevision("void"), "=", 0)).
			Then(clientv3.OpPut("entry", "v")).Commit()
		return err
	}
	delayed := f.LateRequest(1, Reset)
	wantTold(t, join(), Reset)
	put(t, c, "void", "")
	if err := delayed.LetThrough(); err != nil {
		t.Fatal(err)
	}
	wantKey(t, c, "entry", "", 0)
}

// TestAClosedClientIsToldSo: Silence ends with the client, as it does without faults, and then nothing can be let through.
func TestAClosedClientIsToldSo(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	delayed := f.LateRequest(1, Silence)
	told := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, err := c.Put(ctx, "x", "v")
		told <- err
	}()
	await(t, "the request", delayed.Held())
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "etcd's client was told, and tries again", func() bool { return f.Sent() > 1 })
	cancel() // it would try a hundred times
	if err := <-told; status.Code(err) != codes.Canceled && !errors.Is(err, context.Canceled) {
		t.Errorf("the client heard %v, want Canceled", err)
	}
	if err := delayed.LetThrough(); err == nil {
		t.Error("LetThrough = nil after the client was closed, want an error")
	}
}

// TestARequestHasOneFault: those that ask for the same request get a run.
func TestARequestHasOneFault(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	second := f.LateRequest(2, Reset)
	first := f.Refuse(1, rpctypes.ErrGRPCNoSpace)
	third := f.DropAnswer(1, Reset)
	try := func() error { _, err := c.Put(within(t, late), "x", "v"); return err }
	if err := try(); !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("the first: %v, want ErrNoSpace", err)
	}
	wantTold(t, try(), Reset)
	wantTold(t, try(), Reset)
	if err := try(); err != nil {
		t.Errorf("the fourth: %v, want nil", err)
	}
	await(t, "the first", first)
	await(t, "the second", second.Held())
	await(t, "the third", third.Answered())
	fake := &fakeT{TB: t}
	f = NewFaults(fake)
	for n, want := range map[int]bool{-1: true, 0: true, 1: false, 2: false} {
		got := fake.failure(func() { f.LateRequest(n, Reset) })
		if (got != "") != want {
			t.Errorf("LateRequest(%d) fails with %q, want it to fail: %v", n, got, want)
		}
	}
}

// TestARefusedRequest does not arrive.
func TestARefusedRequest(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	refused := f.Refuse(1, rpctypes.ErrGRPCPermissionDenied)
	if _, err := c.Put(within(t, late), "x", "v"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("Put = %v, want ErrPermissionDenied", err)
	}
	await(t, "the request", refused)
	wantKey(t, c, "x", "", 0)
}

// TestCalm: faults that were not met are forgotten, and what is held back stays so.
func TestCalm(t *testing.T) {
	f := NewFaults(t)
	c := Client(t, f)
	delayed := f.LateRequest(1, Reset)
	f.DropAnswer(2, Reset)
	f.Refuse(3, rpctypes.ErrGRPCNoSpace)
	_, err := c.Put(within(t, late), "x", "late")
	wantTold(t, err, Reset)
	f.Calm()
	put(t, c, "x", "1")
	put(t, c, "x", "2")
	if err := delayed.LetThrough(); err != nil {
		t.Fatal(err)
	}
	wantKey(t, c, "x", "late", 3)
}
