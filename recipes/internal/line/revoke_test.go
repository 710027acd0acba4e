package line

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// TestOneThatHasGotToTheHeadIsNotRemoved: it stands where it stood, but it holds by now.
func TestOneThatHasGotToTheHeadIsNotRemoved(t *testing.T) {
	a := newParty(t)
	first, second := a.join(), a.join()
	n, err := ReadNamed(t.Context(), a.client.KV, prefix, "x")
	if err != nil || len(n.State) != 2 {
		t.Fatalf("%+v, %v", n, err)
	}
	a.pass(first)
	if err := n.Remove(t.Context(), a.client.KV, n.State[1], keep.Revocation{}); !errors.Is(err, ErrMoved) {
		t.Errorf("Remove = %v, want ErrMoved", err)
	}
	a.head(second)
	a.pass(second)
}

// TestOneThatHasLeftIsNotAsked: the wish would be for whoever holds next, or would stay.
func TestOneThatHasLeftIsNotAsked(t *testing.T) {
	a := newParty(t)
	first := a.join()
	n, err := ReadNamed(t.Context(), a.client.KV, prefix, "x")
	if err != nil || len(n.State) != 1 {
		t.Fatalf("%+v, %v", n, err)
	}
	a.pass(first)
	if err := n.Ask(t.Context(), a.client.KV, n.State[0], keep.Revocation{}); !errors.Is(err, ErrMoved) {
		t.Errorf("Ask = %v, want ErrMoved", err)
	}
	a.empty()
}

// TestWhatStandsBesideAPlaceIsNone, whatever its value looks like.
func TestWhatStandsBesideAPlaceIsNone(t *testing.T) {
	kvs := []*mvccpb.KeyValue{
		{Key: []byte(PlaceKey(prefix, "w")), Value: []byte(`{"id":"1"}`), ModRevision: 5},
		{Key: []byte(keep.Beside(PlaceKey(prefix, "w"), "value")), Value: []byte(`{"id":"1"}`), ModRevision: 6},
		{Key: []byte(prefix + "e/foreign"), Value: []byte(`{"id":"1"}`), ModRevision: 7, CreateRevision: 7},
	}
	if h, records := occupied(prefix, kvs); len(h) != 1 || h[0].Rev != 5 || len(records) > 0 {
		t.Errorf("holders = %+v, records %v; want the place alone", h, records)
	}
	if s, _ := Parse(prefix, kvs); len(s) != 0 {
		t.Errorf("Parse = %+v, want nobody", s)
	}
}
