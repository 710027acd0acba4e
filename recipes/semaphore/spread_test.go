package semaphore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/semaphore"
	"github.com/stile-dev/stile/recipes/session"
)

func in(rack string) session.Option {
	return session.Labels(map[string]string{"rack": rack, "zone": "z"})
}

func TestAtMostSoManyOfOneLabel(t *testing.T) {
	c := recipestest.Client(t)
	a, b := open(t, c, in("a/1")), open(t, c, in("b"))
	limit(t, c, 4, semaphore.Spread("rack", 2))
	first, second := acquire(t, a, 1), acquire(t, a, 1)
	if _, err := semaphore.TryAcquire(t.Context(), a, "x", 1); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("a third of one rack = %v, want ErrHeld", err)
	}
	other := acquire(t, b, 2)
	has(t, other, 2, 3)
	keys(t, c, "p/g/rack/a%2F1/0000", "p/g/rack/a%2F1/0001", "p/g/rack/b/0000", "p/g/rack/b/0001", "p/limit", "p/look", "p/s/0000", "p/s/0001", "p/s/0002", "p/s/0003")
	if n := len(other.Claims()); n != 2 {
		t.Errorf("%d claims for 2 slots", n)
	}
	release(t, other)
	third := acquires(t, c, a, 1, 1)
	behind := acquires(t, c, b, 1, 2)
	still(t, third, "the rack has 2")
	still(t, behind, "it would overtake")
	release(t, first)
	p, q := <-third, <-behind
	has(t, p, 0)
	has(t, q, 2)
	st := inspect(t, c)
	if st.Spread == nil || *st.Spread != (semaphore.SpreadLimit{Label: "rack", Most: 2}) || st.Taken() != 3 || len(st.Holders) != 3 {
		t.Errorf("Inspect = %+v", st)
	}
	for _, p := range []*semaphore.Permit{second, p, q} {
		release(t, p)
	}
	keys(t, c, "p/limit", "p/look")
}

// TestASessionWithoutTheLabelGetsNothing: nobody can tell where it belongs.
func TestASessionWithoutTheLabelGetsNothing(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	limit(t, c, 4, semaphore.Spread("rack", 2))
	_, err1 := semaphore.Acquire(t.Context(), s, "x", 1)
	_, err2 := semaphore.TryAcquire(t.Context(), s, "x", 1)
	if !errors.Is(err1, semaphore.ErrNoLabel) || !errors.Is(err2, semaphore.ErrNoLabel) || !strings.Contains(err1.Error(), "rack") {
		t.Errorf("without the label: %v, %v, want ErrNoLabel that names it", err1, err2)
	}
	keys(t, c, "p/limit", "p/look")
	empty := open(t, c, in(""))
	release(t, acquire(t, empty, 2)) // an empty value is a value
}

func TestMoreThanOneRackMayHaveIsRefused(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c, in("a"))
	limit(t, c, 4, semaphore.Spread("rack", 2))
	refused, ok := errors.AsType[*semaphore.LimitError](errOf(semaphore.Acquire(t.Context(), s, "x", 3)))
	if !ok || refused.Label != "rack" || refused.Most != 2 || refused.Asked != 3 {
		t.Errorf("%+v, want a *LimitError that names the spread", refused)
	}
}

// TestResizingKeepsTheSpread: whoever raises the limit need not know of it.
func TestResizingKeepsTheSpread(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c, in("a"))
	limit(t, c, 2, semaphore.Spread("rack", 1))
	limit(t, c, 4)
	p := acquire(t, s, 1)
	if _, err := semaphore.TryAcquire(t.Context(), s, "x", 1); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("a second of the rack = %v, want ErrHeld", err)
	}
	limit(t, c, 4, semaphore.NoSpread())
	release(t, acquire(t, s, 1))
	release(t, p)
	left(t, c)
}

// TestASpreadCountsThoseWhoCameBefore: they have no places in the group, but their labels tell.
func TestASpreadCountsThoseWhoCameBefore(t *testing.T) {
	c := recipestest.Client(t)
	a, b := open(t, c, in("a")), open(t, c, in("b"))
	limit(t, c, 4, semaphore.Spread("zone", 3))
	before := acquire(t, a, 2)
	limit(t, c, 4, semaphore.Spread("rack", 2))
	if _, err := semaphore.TryAcquire(t.Context(), a, "x", 1); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("a third of the rack = %v, want ErrHeld", err)
	}
	other := acquire(t, b, 2)
	limit(t, c, 4, semaphore.Spread("rack", 1))
	release(t, before)
	one := acquire(t, a, 1)
	if _, err := semaphore.TryAcquire(t.Context(), b, "x", 1); !errors.Is(err, semaphore.ErrHeld) {
		t.Errorf("a third of a rack that may have 1 = %v, want ErrHeld", err)
	}
	release(t, other)
	release(t, one)
}
