package semaphore_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
)

func TestInspectTellsWhoHoldsWhichSlotsAndWhoWaitsForHowMany(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c, in("a"))
	if st := inspect(t, c); st.Limit != semaphore.NoLimit || st.Name != "x" || st.Taken() != 0 {
		t.Errorf("nothing is set: %+v", st)
	}
	limit(t, c, 3)
	first, second := acquire(t, s, 1), acquire(t, s, 2)
	next := acquires(t, c, s, 3, 1)
	last := acquires(t, c, s, 2, 2)
	st := inspect(t, c)
	if st.Limit != 3 || st.Spread != nil || st.Taken() != 3 || len(st.Holders) != 2 {
		t.Fatalf("%+v", st)
	}
	for i, p := range []*semaphore.Permit{first, second} {
		h := st.Holders[i]
		if !slices.Equal(h.Slots, p.Slots()) || h.Token != p.Token() || h.Labels["rack"] != "a" || h.PID == 0 || h.Host == "" || h.ID == "" || h.Joined.IsZero() {
			t.Errorf("holder %d: %+v", i, h)
		}
	}
	if w := st.Waiters; len(w) != 2 || w[0].N != 3 || w[1].N != 2 || w[0].Labels["rack"] != "a" || w[0].PID == 0 {
		t.Errorf("waiters: %+v", w)
	}
	text, err := json.Marshal(st)
	var back semaphore.State
	if err != nil || json.Unmarshal(text, &back) != nil || back.Taken() != 3 || len(back.Waiters) != 2 {
		t.Errorf("as JSON: %s, %v", text, err)
	}
	for _, p := range []*semaphore.Permit{first, second} {
		release(t, p)
	}
	release(t, <-next)
	release(t, <-last)
}

func TestListTellsOfAllWithALimit(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	for i, name := range []string{"b", "a/b", "a"} {
		if err := semaphore.SetLimit(t.Context(), c, name, i); err != nil {
			t.Fatal(err)
		}
	}
	p, err := semaphore.Acquire(t.Context(), s, "a", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release(t.Context())
	all, err := semaphore.List(t.Context(), c)
	if err != nil || len(all) != 3 || all[0].Name != "a" || all[1].Name != "a/b" || all[2].Name != "b" {
		t.Fatalf("List = %+v, %v", all, err)
	}
	if all[0].Limit != 2 || all[0].Taken() != 2 || all[1].Limit != 1 || all[1].Taken() != 0 || all[2].Limit != 0 {
		t.Errorf("List = %+v", all)
	}
}

// TestWatchTellsOfResizesAndOfPermits, and of each change once.
func TestWatchTellsOfResizesAndOfPermits(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	var p *semaphore.Permit
	n := 0
	for st, err := range semaphore.Watch(t.Context(), c, "x") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		switch n {
		case 1:
			if st.Limit != semaphore.NoLimit {
				t.Errorf("at first: %+v", st)
			}
			limit(t, c, 2)
		case 2:
			if st.Limit != 2 || st.Taken() != 0 {
				t.Errorf("with a limit: %+v", st)
			}
			p = acquire(t, s, 2)
		case 3:
			if st.Taken() != 2 {
				t.Errorf("both taken: %+v", st)
			}
			limit(t, c, 1)
		case 4:
			if st.Limit != 1 || st.Taken() != 2 {
				t.Errorf("lowered: %+v", st)
			}
			release(t, p)
		default:
			if st.Limit != 1 || st.Taken() != 0 {
				t.Errorf("released: %+v", st)
			}
			return
		}
	}
}

// TestRootsDoNotMeet: a semaphore under one root is none under another.
func TestRootsDoNotMeet(t *testing.T) {
	c := recipestest.Client(t)
	root := semaphore.Root("/mine")
	limit(t, c, 2, root)
	if st := inspect(t, c); st.Limit != semaphore.NoLimit {
		t.Errorf("under the default root: %+v", st)
	}
	st, err := semaphore.Inspect(t.Context(), c, "x", root)
	if err != nil || st.Limit != 2 {
		t.Errorf("under its own: %+v, %v", st, err)
	}
	all, err := semaphore.List(t.Context(), c, root)
	if err != nil || len(all) != 1 {
		t.Errorf("List = %+v, %v", all, err)
	}
}
