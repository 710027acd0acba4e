package etcdfence_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/etcdfence"
	"github.com/stile-dev/stile/fencing/fencingtest"
	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// late is when something that is waited for must have come.
const late = time.Minute

func TestTheGateGuards(t *testing.T) {
	fencingtest.Run(t, func(tb testing.TB) fencingtest.Guard {
		tb.Helper()
		client := recipestest.Client(tb)
		gate := etcdfence.NewGate(client, "fence/")
		return fencingtest.Guard{
			Gate:   gate,
			Reopen: func() fencing.Gate { return etcdfence.NewGate(client, "fence/") },
			Write: func(ctx context.Context, value string) error {
				_, err := gate.Txn(ctx).Then(clientv3.OpPut("value", value)).Commit()
				return err
			},
			Read: func(ctx context.Context) (string, error) { return value(ctx, client, "value") },
		}
	})
}

func value(ctx context.Context, kv clientv3.KV, key string) (string, error) {
	resp, err := kv.Get(ctx, key)
	if err != nil || len(resp.Kvs) == 0 {
		return "", err
	}
	return string(resp.Kvs[0].Value), nil
}

func wantValue(tb testing.TB, kv clientv3.KV, key, want string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), late)
	defer cancel()
	if got, err := value(ctx, kv, key); err != nil || got != want {
		tb.Errorf("%s is %q, %v, want %q", key, got, err, want)
	}
}

// holding is a context with a claim, whose key is key if it has one.
func holding(tb testing.TB, mode fencing.Mode, token int64, key ...string) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), late)
	tb.Cleanup(cancel)
	return fencing.NewContext(ctx, fencing.Claim{
		Resource: "lock/a", Token: fencing.FromRevision(token), Mode: mode, Key: strings.Join(key, ""),
	})
}

// TestWhatAGateSendsAndKeeps: one request a call, none for what can't be right, and the keys that the documentation promises.
func TestWhatAGateSendsAndKeeps(t *testing.T) {
	client := recipestest.Client(t)
	sent := recipestest.Count(client)
	gate := etcdfence.NewGate(client, "fence/")
	check := func(ctx context.Context) error { return gate.Check(ctx) }
	write := func(ctx context.Context) error {
		_, err := gate.Txn(ctx).Then(clientv3.OpPut("value", "x")).Commit()
		return err
	}
	long := fencing.NewContext(t.Context(), fencing.Claim{Resource: strings.Repeat("x", etcdfence.MaxResource+1), Token: fencing.FromRevision(9)})
	const zero, seven, nine = "", "00000000000000000000000700000000", "00000000000000000000000900000000"
	for _, step := range []struct {
		name           string
		call           func(ctx context.Context) error
		ctx            context.Context
		want           error
		sent           int64
		revisions      int64
		any, exclusive string
	}{
		{"read of the unknown", gate.CheckRead, holding(t, fencing.Exclusive, 9), nil, 1, 0, zero, zero},
		{"first use", check, holding(t, fencing.Exclusive, 7), nil, 1, 1, seven, seven},
		{"again", check, holding(t, fencing.Exclusive, 7), nil, 1, 0, seven, seven},
		{"sealed again", gate.Seal, holding(t, fencing.Exclusive, 7), nil, 1, 0, seven, seven},
		{"reader", gate.Seal, holding(t, fencing.Shared, 9), nil, 1, 1, nine, seven},
		{"reader with less", gate.Seal, holding(t, fencing.Shared, 8), nil, 1, 0, nine, seven},
		{"writer in between", write, holding(t, fencing.Exclusive, 8), fencing.ErrStale, 1, 0, nine, seven},
		{"write", write, holding(t, fencing.Exclusive, 9), nil, 1, 1, nine, nine},
		{"late reader", gate.CheckRead, holding(t, fencing.Shared, 8), fencing.ErrStale, 1, 0, nine, nine},
		{"write of a reader", write, holding(t, fencing.Shared, 9), fencing.ErrShared, 0, 0, nine, nine},
		{"no claim", write, t.Context(), fencing.ErrNoClaim, 0, 0, nine, nine},
		{"too long a name", gate.Seal, long, fencing.ErrBadClaim, 0, 0, nine, nine},
	} {
		before, revision := sent.Total(), revisionOf(t, client)
		if err := step.call(step.ctx); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
		if got := sent.Total() - before - 1; got != step.sent { // revisionOf is a request
			t.Errorf("%s: %d requests, want %d", step.name, got, step.sent)
		}
		if got := revisionOf(t, client) - revision; got != step.revisions {
			t.Errorf("%s: %d revisions, want %d", step.name, got, step.revisions)
		}
		wantValue(t, client, "fence/any/lock/a", step.any)
		wantValue(t, client, "fence/exclusive/lock/a", step.exclusive)
	}
}

// revisionOf is etcd's: other tests must not write meanwhile.
func revisionOf(tb testing.TB, kv clientv3.KV) int64 {
	tb.Helper()
	resp, err := kv.Get(tb.Context(), "any key")
	if err != nil {
		tb.Fatal(err)
	}
	return resp.Header.Revision
}

// TestConditionsOfOnesOwn are told apart from the gate's.
func TestConditionsOfOnesOwn(t *testing.T) {
	client := recipestest.Client(t)
	gate := etcdfence.NewGate(client, "fence/")
	there := clientv3.Compare(clientv3.CreateRevision("value"), ">", 0)
	change := func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return gate.Txn(ctx).If(there).Then(clientv3.OpPut("value", "changed")).Else(clientv3.OpPut("value", "made"), clientv3.OpGet("value")).Commit()
	}
	resp, err := change(holding(t, fencing.Exclusive, 7))
	if err != nil || resp.Succeeded || len(resp.Responses) != 2 || resp.Header.Revision == 0 {
		t.Fatalf("got %v, %v, want the answers of Else", resp, err)
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) != 1 || string(kvs[0].Key) != "value" {
		t.Errorf("read %v, want the key as this client sees it", kvs)
	}
	if resp, err := change(holding(t, fencing.Exclusive, 8)); err != nil || !resp.Succeeded || len(resp.Responses) != 1 {
		t.Errorf("got %v, %v, want that of Then", resp, err)
	}
	if resp, err := change(holding(t, fencing.Exclusive, 7)); resp != nil || !errors.Is(err, fencing.ErrStale) {
		t.Errorf("got %v, %v, want ErrStale", resp, err)
	}
	wantValue(t, client, "value", "changed")
}

// TestAnOutcomeIsToldAsItIs: what the caller sent is sent once.
func TestAnOutcomeIsToldAsItIs(t *testing.T) {
	for name, symptom := range map[string]recipestest.Symptom{"silence": recipestest.Silence, "reset": recipestest.Reset} {
		t.Run(name, func(t *testing.T) {
			faults := recipestest.NewFaults(t)
			client := recipestest.Client(t, faults)
			gate := etcdfence.NewGate(client, "fence/")
			ctx, cancel := context.WithCancel(holding(t, fencing.Exclusive, 7))
			lost := faults.DropAnswer(1, symptom)
			go func() {
				<-lost.Answered()
				if symptom == recipestest.Silence {
					cancel()
				}
			}()
			_, err := gate.Txn(ctx).Then(clientv3.OpPut("value", "x")).Commit()
			if !errors.Is(err, fencing.ErrUnknownOutcome) || symptom == recipestest.Silence && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want ErrUnknownOutcome and why", err)
			}
			if n := faults.Sent(); n != 1 {
				t.Errorf("sent %d times, want once", n)
			}
			cancel()
			wantValue(t, client, "value", "x")
			if _, err := gate.Txn(ctx).Then(clientv3.OpPut("value", "y")).Commit(); !errors.Is(err, context.Canceled) || errors.Is(err, fencing.ErrUnknownOutcome) {
				t.Errorf("after the end of ctx: %v, want context.Canceled and that nothing was sent", err)
			}
			if _, err := gate.Txn(holding(t, fencing.Exclusive, 7)).Then(clientv3.OpPut("value", "y", clientv3.WithLease(1))).Commit(); err == nil || errors.Is(err, fencing.ErrUnknownOutcome) {
				t.Errorf("refused by etcd: %v, want an error that says so", err)
			}
		})
	}
}

// TestADamagedGateRefuses, and says which key it is.
func TestADamagedGateRefuses(t *testing.T) {
	client := recipestest.Client(t)
	gate := etcdfence.NewGate(client, "fence/")
	if _, err := client.Put(t.Context(), "fence/any/lock/a", "not a token"); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(ctx context.Context) error{"Check": gate.Check, "Seal": gate.Seal, "CheckRead": gate.CheckRead} {
		err := call(holding(t, fencing.Exclusive, 7))
		if !errors.Is(err, fencing.ErrBadToken) || !strings.Contains(err.Error(), "fence/any/lock/a") {
			t.Errorf("%s: %v, want ErrBadToken and the key", name, err)
		}
	}
	if err := etcdfence.NewGate(nil, "fence/").Check(holding(t, fencing.Exclusive, 7)); err == nil {
		t.Error("without a client: no error")
	}
}
