package rwlock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

func open(t *testing.T, c *clientv3.Client) *session.Session {
	t.Helper()
	s, err := session.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestReadersShareAndWritersDoNot(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	requests := recipestest.Count(c)
	r1, err := rwlock.AcquireRead(t.Context(), s, "x")
	if err != nil {
		t.Fatal(err)
	}
	r2, err := rwlock.TryAcquireRead(t.Context(), s, "x")
	if err != nil {
		t.Fatal(err)
	}
	if n := requests.Total(); n != 2 {
		t.Errorf("two readers sent %d requests, want 1 each", n)
	}
	if _, err := rwlock.TryAcquireWrite(t.Context(), s, "x"); !errors.Is(err, rwlock.ErrHeld) {
		t.Errorf("TryAcquireWrite = %v, want ErrHeld", err)
	}
	wrote := make(chan *rwlock.Write, 1)
	go func() {
		w, err := rwlock.AcquireWrite(t.Context(), s, "x")
		if err != nil {
			t.Error(err)
		}
		wrote <- w
	}()
	waiting(t, c, 1)
	if _, err := rwlock.TryAcquireRead(t.Context(), s, "x"); !errors.Is(err, rwlock.ErrHeld) {
		t.Errorf("a reader overtakes a writer that waits: %v", err)
	}
	read := make(chan *rwlock.Read, 5)
	for range 5 {
		go func() {
			r, err := rwlock.AcquireRead(t.Context(), s, "x")
			if err != nil {
				t.Error(err)
			}
			read <- r
		}()
	}
	waiting(t, c, 6)
	for _, r := range []*rwlock.Read{r1, r2} {
		if err := r.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w := <-wrote
	if err := w.Release(t.Context()); err != nil {
		t.Error(err)
	}
	tokens := map[string]bool{}
	for range 5 {
		r := <-read
		tokens[r.Token().String()] = true
		if r.Token().Compare(w.Token()) <= 0 {
			t.Errorf("a later reader has token %v, the writer had %v", r.Token(), w.Token())
		}
		defer r.Release(t.Context())
	}
	if len(tokens) != 1 {
		t.Errorf("%d Txns let the five readers in, want 1", len(tokens))
	}
}

func waiting(t *testing.T, c *clientv3.Client, n int) {
	t.Helper()
	eventually(t, func() (string, bool) {
		resp, err := c.Get(t.Context(), "/stile/v1/rwlock/x/e/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d wait, want %d", resp.Count, n), int(resp.Count) == n
	})
}

func eventually(t *testing.T, look func() (what string, so bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		what, so := look()
		if so {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

// TestACrowdOfReadersIsLetIn: more of them than one Txn takes.
func TestACrowdOfReadersIsLetIn(t *testing.T) {
	const crowd = 100
	c := recipestest.Client(t)
	s := open(t, c)
	w := write(t, s, "x")
	got := make(chan *rwlock.Read, crowd)
	for range crowd {
		go func() {
			r, err := rwlock.AcquireRead(t.Context(), s, "x")
			if err != nil {
				t.Error(err)
			}
			got <- r
		}()
	}
	waiting(t, c, crowd)
	if err := w.Release(t.Context()); err != nil {
		t.Error(err)
	}
	tokens := map[string]bool{}
	for range crowd {
		r := <-got
		tokens[r.Token().String()] = true
		defer func() {
			if err := r.Release(context.Background()); err != nil {
				t.Error(err)
			}
		}()
	}
	if len(tokens) != 3 {
		t.Errorf("%d Txns let them in, want 3: 41, 41 and 18", len(tokens))
	}
}
