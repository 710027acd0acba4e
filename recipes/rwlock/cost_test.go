package rwlock_test

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/rwlock"
	"github.com/stile-dev/stile/recipes/session"
)

// costs compares how many requests of each kind there were, but for keep-alives.
func costs(t *testing.T, what string, r *recipestest.Requests, txns, gets, watches int64) {
	t.Helper()
	if r.Txns.Load() != txns || r.Gets.Load() != gets || r.Watches.Load() != watches {
		t.Errorf("%s: %d Txns, %d Gets, %d watches; want %d, %d, %d", what, r.Txns.Load(), r.Gets.Load(), r.Watches.Load(), txns, gets, watches)
	}
}

func counted(t *testing.T) (*session.Session, *recipestest.Requests, *clientv3.Client) {
	t.Helper()
	c := recipestest.Namespace(t, t.Name())
	s := open(t, c)
	return s, recipestest.Count(c), c
}

func TestCostWithNobodyElse(t *testing.T) {
	s, requests, _ := counted(t)
	r, err := rwlock.AcquireRead(t.Context(), s, "x")
	if err != nil {
		t.Fatal(err)
	}
	costs(t, "a read lock alone", requests, 1, 0, 0)
	_ = r.Release(t.Context())
	costs(t, "and its release", requests, 2, 0, 0)
	w := write(t, s, "x")
	costs(t, "a write lock alone", requests, 3, 0, 0)
	_ = w.Release(t.Context())
	costs(t, "and its release", requests, 4, 0, 0)
	w, err = rwlock.TryAcquireWrite(t.Context(), s, "x")
	if err != nil {
		t.Fatal(err)
	}
	costs(t, "a try", requests, 5, 0, 0)
	_ = w.Release(t.Context())
}

// TestCostOfBeingLetIn: a reader behind another that waits sends nothing when its turn comes.
func TestCostOfBeingLetIn(t *testing.T) {
	s, _, c := counted(t)
	w := write(t, s, "x")
	first, ofFirst, _ := counted(t)
	got := make(chan *rwlock.Read, 2)
	read := func(s *session.Session) {
		r, err := rwlock.AcquireRead(t.Context(), s, "x")
		if err != nil {
			t.Error(err)
		}
		got <- r
	}
	go read(first)
	waiting(t, c, 1)
	eventually(t, func() (string, bool) { return "the head never looked", ofFirst.Txns.Load() == 2 })
	second, ofSecond, _ := counted(t)
	go read(second)
	waiting(t, c, 2)
	eventually(t, func() (string, bool) { return "the second never looked", ofSecond.Txns.Load() == 2 })
	_ = w.Release(t.Context())
	a, b := <-got, <-got
	if a.Token() != b.Token() {
		t.Error("they were not let in together")
	}
	costs(t, "the head: joins, looks, reads who is behind it, takes", ofFirst, 3, 1, 2)
	costs(t, "the one behind it: joins, looks", ofSecond, 2, 0, 2)
	_, _ = a.Release(t.Context()), b.Release(t.Context())
}
