package rwlock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

func write(t *testing.T, s *session.Session, name string) *rwlock.Write {
	t.Helper()
	w, err := rwlock.AcquireWrite(t.Context(), s, name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestDowngradingLetsNobodyIn: not even a writer that has waited all the time.
func TestDowngradingLetsNobodyIn(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	w := write(t, s, "x")
	next := make(chan *rwlock.Write, 1)
	go func() {
		w, err := rwlock.AcquireWrite(t.Context(), s, "x")
		if err != nil {
			t.Error(err)
		}
		next <- w
	}()
	waiting(t, c, 1)
	r, err := w.Downgrade(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cause := context.Cause(w.Context()); !errors.Is(cause, session.ErrReleased) {
		t.Errorf("the hold for writing ended with %v, want ErrReleased", cause)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Errorf("releasing it afterwards: %v", err)
	}
	if r.Token().Compare(w.Token()) <= 0 {
		t.Errorf("token %v after %v", r.Token(), w.Token())
	}
	var gate fencing.Memory
	if err := gate.Check(r.Context()); !errors.Is(err, fencing.ErrShared) {
		t.Errorf("a write with what is held for reading: %v, want ErrShared", err)
	}
	if err := gate.CheckRead(r.Context()); err != nil {
		t.Errorf("a read: %v", err)
	}
	select {
	case <-next:
		t.Error("a writer got in beside a reader")
	default:
	}
	if _, err := w.Downgrade(t.Context()); !errors.Is(err, session.ErrReleased) {
		t.Errorf("twice: %v, want ErrReleased", err)
	}
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
	w = <-next
	if w.Token().Compare(r.Token()) <= 0 {
		t.Errorf("token %v after %v", w.Token(), r.Token())
	}
	if err := w.Release(t.Context()); err != nil {
		t.Error(err)
	}
	left(t, c)
}

func TestDowngradingIsOneTransaction(t *testing.T) {
	c := recipestest.Client(t)
	requests := recipestest.Count(c)
	s := open(t, c)
	w := write(t, s, "x")
	before := requests.Total()
	r, err := w.Downgrade(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := requests.Total() - before; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
	left(t, c)
}

// TestDowngradingAndLostAnswers: the answer is lost once, or for ever.
func TestDowngradingAndLostAnswers(t *testing.T) {
	for _, symptom := range []recipestest.Symptom{recipestest.Reset, recipestest.Silence} {
		faults := recipestest.NewFaults(t)
		prefix := fmt.Sprint(t.Name(), symptom)
		s, c := open(t, recipestest.Namespace(t, prefix, faults)), recipestest.Namespace(t, prefix)
		w := write(t, s, "x")
		lost := faults.DropAnswer(1, symptom)
		ctx, cancel := context.WithCancel(t.Context())
		if symptom == recipestest.Silence {
			go func() { <-lost.Answered(); cancel() }()
		}
		r, err := w.Downgrade(ctx)
		cancel()
		switch {
		case symptom == recipestest.Silence && !errors.Is(err, session.ErrUnknownOutcome):
			t.Errorf("Downgrade = %v, want ErrUnknownOutcome", err)
		case symptom == recipestest.Reset && err != nil:
			t.Errorf("Downgrade = %v", err)
		case r != nil:
			if _, err := r.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
				t.Errorf("it is not held: %v", err)
			}
			_ = r.Release(t.Context())
		}
		next := write(t, open(t, c), "x")
		if err := next.Release(t.Context()); err != nil {
			t.Error(err)
		}
		left(t, c)
	}
}

func TestDowngradingWhatWasTaken(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	w := write(t, s, "x")
	recipestest.Delete(t, c, w.Claims()[0].Key)
	if _, err := w.Downgrade(t.Context()); !errors.Is(err, session.ErrLost) {
		t.Errorf("Downgrade = %v, want ErrLost", err)
	}
	left(t, c)
}

// left waits until no key is left but those that make ids void.
func left(t *testing.T, c *clientv3.Client) {
	t.Helper()
	eventually(t, func() (string, bool) {
		resp, err := c.Get(t.Context(), "/stile/v1/rwlock/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range resp.Kvs {
			if key := string(kv.Key); key[len("/stile/v1/rwlock/x/")] != 'x' {
				return fmt.Sprintf("left: %s = %s, created at %d, changed at %d", key, kv.Value, kv.CreateRevision, kv.ModRevision), false
			}
		}
		return "", true
	})
}

// TestDowngradingInVainTakesNoName: a reader's place has the lowest number that its session has free.
func TestDowngradingInVainTakesNoName(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	w := write(t, s, "x")
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Downgrade(t.Context()); !errors.Is(err, session.ErrReleased) {
		t.Errorf("Downgrade = %v, want ErrReleased", err)
	}
	r, err := rwlock.AcquireRead(t.Context(), s, "x")
	if err != nil {
		t.Fatal(err)
	}
	if key := r.Claims()[0].Key; !strings.HasSuffix(key, "-0") {
		t.Errorf("its place is %q, want number 0", key)
	}
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
	left(t, c)
}

// TestAReaderWhosePlaceWasTakenLeavesNothing: it was let in by the one in front, whose mark on its entry is still there.
func TestAReaderWhosePlaceWasTakenLeavesNothing(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	w := write(t, s, "x")
	read := make(chan *rwlock.Read, 2)
	for n := range 2 {
		go func() {
			r, err := rwlock.AcquireRead(t.Context(), s, "x")
			if err != nil {
				t.Error(err)
			}
			read <- r
		}()
		waiting(t, c, n+1)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := <-read
		recipestest.Delete(t, c, r.Claims()[0].Key)
		<-r.Context().Done()
		if err := r.Release(t.Context()); !errors.Is(err, session.ErrLost) {
			t.Errorf("Release = %v, want ErrLost", err)
		}
	}
	left(t, c)
	numbered(t, s, "0")
}
