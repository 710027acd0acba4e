package etcdfence_test

import (
	"context"
	"errors"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/etcdfence"
	"github.com/stile-dev/stile/recipes/recipestest"
)

// writes are all ways to write "x" to the key "value".
var writes = map[string]func(ctx context.Context, kv clientv3.KV) error{
	"Put": func(ctx context.Context, kv clientv3.KV) error {
		resp, err := kv.Put(ctx, "value", "x", clientv3.WithPrevKV())
		return wantAnswer(err, resp != nil && resp.Header.GetRevision() > 0)
	},
	"Txn": func(ctx context.Context, kv clientv3.KV) error {
		resp, err := kv.Txn(ctx).If(absent).Then(clientv3.OpPut("value", "x"), clientv3.OpGet("value")).Commit()
		return wantAnswer(err, resp != nil && resp.Succeeded && string(resp.Responses[1].GetResponseRange().Kvs[0].Key) == "value")
	},
	"Txn without conditions": func(ctx context.Context, kv clientv3.KV) error {
		resp, err := kv.Txn(ctx).Then(clientv3.OpPut("value", "x")).Commit()
		return wantAnswer(err, resp != nil && resp.Succeeded && resp.Responses[0].GetResponsePut() != nil)
	},
	"Txn else": func(ctx context.Context, kv clientv3.KV) error {
		resp, err := kv.Txn(ctx).If(present).Else(clientv3.OpPut("value", "x")).Commit()
		return wantAnswer(err, resp != nil && !resp.Succeeded && resp.Header.GetRevision() > 0)
	},
	"Do a Put": func(ctx context.Context, kv clientv3.KV) error {
		resp, err := kv.Do(ctx, clientv3.OpPut("value", "x"))
		return wantAnswer(err, resp.Put() != nil)
	},
	"Do a Txn": func(ctx context.Context, kv clientv3.KV) error {
		resp, err := kv.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("value", "x")}, nil))
		return wantAnswer(err, resp.Txn() != nil && resp.Txn().Succeeded)
	},
	"Delete of the other": func(ctx context.Context, kv clientv3.KV) error {
		if resp, err := kv.Delete(ctx, "other"); err != nil || resp.Deleted != 1 || resp.Header.GetRevision() == 0 {
			return wantAnswer(err, false)
		}
		_, err := kv.Put(ctx, "value", "x")
		return err
	},
	"Do a Delete of the other": func(ctx context.Context, kv clientv3.KV) error {
		if resp, err := kv.Do(ctx, clientv3.OpDelete("other")); err != nil || resp.Del().Deleted != 1 {
			return wantAnswer(err, false)
		}
		_, err := kv.Put(ctx, "value", "x")
		return err
	},
}

var (
	absent  = clientv3.Compare(clientv3.CreateRevision("value"), "=", 0)
	present = clientv3.Compare(clientv3.CreateRevision("value"), ">", 0)
)

var errAnswer = errors.New("not the answer that was expected")

func wantAnswer(err error, ok bool) error {
	if err == nil && !ok {
		return errAnswer
	}
	return err
}

// held is a client whose key "place" is that of a hold, with a context that has the claim.
func held(t *testing.T, opts ...recipestest.ClientOption) (*clientv3.Client, fencing.Claim) {
	t.Helper()
	client := recipestest.Client(t, opts...)
	if _, err := client.Put(t.Context(), "other", "there"); err != nil {
		t.Fatal(err)
	}
	resp, err := client.Put(t.Context(), "place", "me")
	if err != nil {
		t.Fatal(err)
	}
	return client, fencing.Claim{Resource: "lock/a", Token: fencing.FromRevision(resp.Header.Revision), Key: "place"}
}

func with(tb testing.TB, c fencing.Claim) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), late)
	tb.Cleanup(cancel)
	return fencing.NewContext(ctx, c)
}

// TestWritesLandWhileTheClaimIsHeld, and not once its key is gone, or is somebody else's. Nothing is sent for what can't be right.
func TestWritesLandWhileTheClaimIsHeld(t *testing.T) {
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				name string
				end  func(client *clientv3.Client, c *fencing.Claim)
				want error
			}{
				{"held", func(*clientv3.Client, *fencing.Claim) {}, nil},
				{"gone", func(client *clientv3.Client, _ *fencing.Claim) { recipestest.Delete(t, client, "place") }, fencing.ErrStale},
				{"rewritten", func(client *clientv3.Client, _ *fencing.Claim) { mustPut(t, client, "place", "me") }, fencing.ErrStale},
				{"made again", func(client *clientv3.Client, _ *fencing.Claim) {
					recipestest.Delete(t, client, "place")
					mustPut(t, client, "place", "them")
				}, fencing.ErrStale},
				{"shared", func(_ *clientv3.Client, c *fencing.Claim) { c.Mode = fencing.Shared }, fencing.ErrShared},
				{"from a wire", func(_ *clientv3.Client, c *fencing.Claim) { c.Key = "" }, fencing.ErrBadClaim},
				{"ended here", func(_ *clientv3.Client, c *fencing.Claim) { *c = c.Bind(func() error { return errAnswer }) }, fencing.ErrEnded},
				{"of an epoch", func(_ *clientv3.Client, c *fencing.Claim) { c.Token, _ = fencing.Parse("1:" + c.Token.String()) }, fencing.ErrBadClaim},
			} {
				client, c := held(t)
				test.end(client, &c)
				sent := recipestest.Count(client)
				if err := write(with(t, c), etcdfence.NewKV(client)); !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v", test.name, err, test.want)
				}
				if stopped := test.want != nil && !errors.Is(test.want, fencing.ErrStale); stopped && sent.Total() != 0 {
					t.Errorf("%s: %d requests, want none", test.name, sent.Total())
				}
				want, other := "", "there"
				if test.want == nil {
					want = "x"
				} else {
					wantValue(t, client, "other", other)
				}
				wantValue(t, client, "value", want)
			}
			if err := write(t.Context(), etcdfence.NewKV(recipestest.Client(t))); !errors.Is(err, fencing.ErrNoClaim) {
				t.Errorf("without a claim: %v, want ErrNoClaim", err)
			}
			if err := write(with(t, fencing.Claim{Resource: "a", Token: fencing.FromRevision(1), Key: "k"}), etcdfence.NewKV(nil)); err == nil {
				t.Error("without a client: no error")
			}
		})
	}
}

func mustPut(tb testing.TB, kv clientv3.KV, key, val string) {
	tb.Helper()
	if _, err := kv.Put(tb.Context(), key, val); err != nil {
		tb.Fatal(err)
	}
}

// TestReadsNeedNoClaim, except those in a Txn; and history is nobody's.
func TestReadsNeedNoClaim(t *testing.T) {
	client, c := held(t)
	kv := etcdfence.NewKV(client)
	wantValue(t, kv, "other", "there")
	if resp, err := kv.Do(t.Context(), clientv3.OpGet("other")); err != nil || len(resp.Get().Kvs) != 1 {
		t.Errorf("Do of a Get: %v, %v", resp.Get(), err)
	}
	read := func(ctx context.Context) error {
		_, err := kv.Txn(ctx).Then(clientv3.OpGet("other")).Commit()
		return err
	}
	if err := read(t.Context()); !errors.Is(err, fencing.ErrNoClaim) {
		t.Errorf("a Txn that reads, without a claim: %v, want ErrNoClaim", err)
	}
	if err := read(with(t, c)); err != nil {
		t.Errorf("a Txn that reads: %v", err)
	}
	if _, err := kv.Compact(with(t, c), 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Compact: %v, want ErrUnsupported", err)
	}
	if _, err := kv.GetStream(t.Context(), "other"); err == nil || errors.Is(err, fencing.ErrNoClaim) {
		t.Errorf("GetStream: %v, want that of the client, which has a namespace and can't", err)
	}
}

// TestAWriteIsSentOnce: whether it was done nobody knows, when there is no answer.
func TestAWriteIsSentOnce(t *testing.T) {
	for name, symptom := range map[string]recipestest.Symptom{"silence": recipestest.Silence, "reset": recipestest.Reset} {
		t.Run(name, func(t *testing.T) {
			faults := recipestest.NewFaults(t)
			client, c := held(t, faults)
			ctx, cancel := context.WithCancel(with(t, c))
			before, lost := faults.Sent(), faults.DropAnswer(1, symptom)
			go func() {
				<-lost.Answered()
				if symptom == recipestest.Silence {
					cancel()
				}
			}()
			_, err := etcdfence.NewKV(client).Put(ctx, "value", "x")
			if !errors.Is(err, fencing.ErrUnknownOutcome) {
				t.Errorf("got %v, want ErrUnknownOutcome", err)
			}
			if n := faults.Sent() - before; n != 1 {
				t.Errorf("sent %d times, want once", n)
			}
			cancel()
			wantValue(t, client, "value", "x")
			if _, err := etcdfence.NewKV(client).Put(ctx, "value", "y"); !errors.Is(err, context.Canceled) || errors.Is(err, fencing.ErrUnknownOutcome) {
				t.Errorf("after the end of ctx: %v, want context.Canceled", err)
			}
			if _, err := etcdfence.NewKV(client).Put(with(t, c), "value", "y", clientv3.WithLease(1)); err == nil || errors.Is(err, fencing.ErrUnknownOutcome) {
				t.Errorf("refused by etcd: %v, want an error that says so", err)
			}
		})
	}
}
