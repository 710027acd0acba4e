package objectfence_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/fencingtest"
	"github.com/stile-dev/stile/fencing/objectfence"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// late is when something that is waited for must have come.
const late = time.Minute

// objects are a gate for any number of resources: each has an object of its own.
type objects struct{ store objectfence.Store }

func (o objects) of(ctx context.Context) *objectfence.Object {
	c, _ := fencing.FromContext(ctx) // the object itself refuses what is wrong
	sum := sha256.Sum256([]byte(c.Resource))
	return objectfence.New(o.store, hex.EncodeToString(sum[:]))
}

func (o objects) Check(ctx context.Context) error     { return o.of(ctx).Check(ctx) }
func (o objects) CheckRead(ctx context.Context) error { return o.of(ctx).CheckRead(ctx) }
func (o objects) Seal(ctx context.Context) error      { return o.of(ctx).Seal(ctx) }

func TestObjectsAreGuarded(t *testing.T) {
	fencingtest.Run(t, func(tb testing.TB) fencingtest.Guard {
		tb.Helper()
		s, store := serve(tb)
		return fencingtest.Guard{
			Gate:   objects{store},
			Reopen: func() fencing.Gate { return objects{store} },
			Write: func(ctx context.Context, value string) error {
				return objects{store}.of(ctx).Replace(ctx, []byte(value))
			},
			Read: func(context.Context) (string, error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				for _, data := range s.objects {
					_, value, _ := strings.Cut(string(data), "\n")
					return value, nil
				}
				return "", nil
			},
		}
	})
}

// holding is a context with a claim.
func holding(tb testing.TB, mode fencing.Mode, token int64) context.Context {
	tb.Helper()
	return on(tb, fencing.Claim{Resource: "lock/a", Token: fencing.FromRevision(token), Mode: mode})
}

func on(tb testing.TB, c fencing.Claim) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), late)
	tb.Cleanup(cancel)
	return fencing.NewContext(ctx, c)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantData(tb testing.TB, s *service, want string) {
	tb.Helper()
	if _, got, _ := strings.Cut(s.object(tb, "state"), "\n"); got != want {
		tb.Errorf("the object has %q, want %q", got, want)
	}
}

// TestWhatIsSentAndKept: a read and a write a call, and no write for a token that was seen.
func TestWhatIsSentAndKept(t *testing.T) {
	s, store := serve(t)
	o := objectfence.New(store, "state")
	replace := func(ctx context.Context) error { return o.Replace(ctx, []byte("one\ntwo")) }
	read := func(ctx context.Context) error { _, err := o.Read(ctx); return err }
	for _, step := range []struct {
		name       string
		call       func(ctx context.Context) error
		ctx        context.Context
		want       error
		gets, puts int
	}{
		{"read of nothing", read, holding(t, fencing.Exclusive, 7), fs.ErrNotExist, 1, 0},
		{"seal of nothing", o.Seal, holding(t, fencing.Exclusive, 7), nil, 1, 1},
		{"sealed again", o.Seal, holding(t, fencing.Exclusive, 7), nil, 1, 0},
		{"read of no data yet", read, holding(t, fencing.Exclusive, 7), fs.ErrNotExist, 1, 0},
		{"read by an earlier one", read, holding(t, fencing.Exclusive, 6), fencing.ErrStale, 1, 0},
		{"write", replace, holding(t, fencing.Exclusive, 7), nil, 1, 1},
		{"write again", replace, holding(t, fencing.Exclusive, 7), nil, 1, 1},
		{"check", o.Check, holding(t, fencing.Exclusive, 7), nil, 1, 0},
		{"seal of a reader", o.Seal, holding(t, fencing.Shared, 9), nil, 1, 1},
		{"late write", replace, holding(t, fencing.Exclusive, 7), fencing.ErrStale, 1, 0},
		{"read", read, holding(t, fencing.Shared, 8), nil, 1, 0},
		{"write of a reader", replace, holding(t, fencing.Shared, 9), fencing.ErrShared, 0, 0},
		{"no claim", replace, t.Context(), fencing.ErrNoClaim, 0, 0},
		{"another resource", replace, on(t, fencing.Claim{Resource: "lock/b", Token: fencing.FromRevision(99)}), fencing.ErrBadClaim, 1, 0},
		{"no name", replace, on(t, fencing.Claim{Resource: "\xff", Token: fencing.FromRevision(99)}), fencing.ErrBadClaim, 0, 0},
	} {
		gets, puts := s.count(http.MethodGet), s.count(http.MethodPut)
		if err := step.call(step.ctx); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
		if gets, puts = s.count(http.MethodGet)-gets, s.count(http.MethodPut)-puts; gets != step.gets || puts != step.puts {
			t.Errorf("%s: %d reads and %d writes, want %d and %d", step.name, gets, puts, step.gets, step.puts)
		}
	}
	want := `^\{"fence":1,"resource":"lock/a","exclusive":"7","shared":"9","write":"[A-Z2-7]{26}\.1"\}` + "\none\ntwo$"
	if got := s.object(t, "state"); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("the object is %s", got)
	}
	if data, err := o.Read(holding(t, fencing.Shared, 9)); err != nil || string(data) != "one\ntwo" {
		t.Errorf("read %q, %v", data, err)
	}
}

// before each Put it does something else.
type delayed struct {
	objectfence.Store
	act func()
}

func (d delayed) Put(ctx context.Context, key string, data []byte, version string) error {
	d.act()
	return d.Store.Put(ctx, key, data, version)
}

// TestALateWriteIsRefused though its condition was right when it was made, and though the next holder has only sealed.
func TestALateWriteIsRefused(t *testing.T) {
	for name, next := range map[string]func(o *objectfence.Object) error{
		"sealed":              func(o *objectfence.Object) error { return o.Seal(holding(t, fencing.Exclusive, 8)) },
		"sealed by a reader":  func(o *objectfence.Object) error { return o.Seal(holding(t, fencing.Shared, 8)) },
		"wrote the same data": func(o *objectfence.Object) error { return o.Replace(holding(t, fencing.Exclusive, 8), []byte("one")) },
	} {
		s, store := serve(t)
		must(t, objectfence.New(store, "state").Replace(holding(t, fencing.Exclusive, 7), []byte("one")))
		late := objectfence.New(delayed{store, func() { must(t, next(objectfence.New(store, "state"))) }}, "state")
		if err := late.Replace(holding(t, fencing.Exclusive, 7), []byte("late")); !errors.Is(err, fencing.ErrStale) || errors.Is(err, fencing.ErrUnknownOutcome) {
			t.Errorf("%s: %v, want ErrStale", name, err)
		}
		wantData(t, s, "one")
	}
}

// TestWhatTheStoreAnswers: a conflict is tried again, what was done is found, and the rest is unknown.
func TestWhatTheStoreAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		faults []fault
		want   error
		puts   int
		data   string
	}{
		"conflicts":            {[]fault{conflict, conflict}, nil, 3, "two"},
		"done, without a word": {[]fault{lost}, nil, 1, "two"},
		"conflict, then done":  {[]fault{conflict, lost}, nil, 2, "two"},
		"not done":             {[]fault{before}, fencing.ErrUnknownOutcome, 1, "one"},
		"refused":              {[]fault{refused}, fencing.ErrUnknownOutcome, 1, "one"},
	} {
		s, store := serve(t)
		o := objectfence.New(store, "state")
		must(t, o.Replace(holding(t, fencing.Exclusive, 7), []byte("one")))
		s.fail(test.faults...)
		if err := o.Replace(holding(t, fencing.Exclusive, 8), []byte("two")); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if got := s.count(http.MethodPut) - 1; got != test.puts {
			t.Errorf("%s: %d writes, want %d", name, got, test.puts)
		}
		wantData(t, s, test.data)
	}
}

// counted as a conflict by the store's own client, which has sent it twice.
type twice struct{ objectfence.Store }

func (w twice) Put(ctx context.Context, key string, data []byte, version string) error {
	_ = w.Store.Put(ctx, key, data, version)
	return w.Store.Put(ctx, key, data, version)
}

func TestItsOwnWriteIsNoConflict(t *testing.T) {
	s, store := serve(t)
	must(t, objectfence.New(twice{store}, "state").Replace(holding(t, fencing.Exclusive, 7), []byte("one")))
	if got := s.count(http.MethodPut); got != 2 {
		t.Errorf("%d writes, want 2", got)
	}
	wantData(t, s, "one")
}

// TestConflictsAreTriedUntilCtxEnds.
func TestConflictsAreTriedUntilCtxEnds(t *testing.T) {
	_, store := serve(t)
	gone := errors.New("the user has gone away")
	ctx, cancel := context.WithCancelCause(holding(t, fencing.Exclusive, 8))
	n := 0
	busy := objectfence.New(delayed{store, func() {
		if n++; n == 3 {
			cancel(gone)
		}
		other := fmt.Sprintf(`{"fence":1,"resource":"lock/a","exclusive":"7","shared":"0","write":"other.%d"}`+"\n", n)
		must(t, store.Put(t.Context(), "state", []byte(other), version(t, store)))
	}}, "state")
	if err := busy.Replace(ctx, []byte("x")); !errors.Is(err, context.Canceled) || !errors.Is(err, gone) {
		t.Errorf("got %v, want the end of ctx and its cause", err)
	}
	if n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

func version(tb testing.TB, store objectfence.Store) string {
	tb.Helper()
	_, v, err := store.Get(tb.Context(), "state")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	return v
}

// TestWhatIsNotOursIsRefused, and left as it is.
func TestWhatIsNotOursIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "text": "hello", "lines": "hello\nworld", "JSON": "{}\n", "of another version": `{"fence":2,"resource":"lock/a","exclusive":"7"}` + "\n",
	} {
		s, store := serve(t)
		s.objects["/state"] = []byte(text)
		o := objectfence.New(store, "state")
		for act, err := range map[string]error{
			"Seal":      o.Seal(holding(t, fencing.Exclusive, 8)),
			"Replace":   o.Replace(holding(t, fencing.Exclusive, 8), nil),
			"CheckRead": o.CheckRead(holding(t, fencing.Exclusive, 8)),
		} {
			if err == nil || !strings.Contains(err.Error(), "was not written by") {
				t.Errorf("%s: %s: %v, want an error that says so", name, act, err)
			}
		}
		if got := s.object(t, "state"); got != text {
			t.Errorf("%s: it became %q", name, got)
		}
	}
	if err := objectfence.New(nil, "state").Seal(holding(t, fencing.Exclusive, 8)); err == nil {
		t.Error("without a store: no error")
	}
}

// TestAZombieIsRefused: a lock on a real etcd, lost by a holder that is stopped after it has read.
func TestAZombieIsRefused(t *testing.T) {
	client := recipestest.Client(t)
	s, store := serve(t)
	under := func(act func(ctx context.Context, o *objectfence.Object) error) error {
		sess, err := session.Open(t.Context(), client)
		if err != nil {
			return err
		}
		defer sess.Close(context.Background())
		o := objectfence.New(store, "state")
		return lock.Do(t.Context(), sess, "state", func(ctx context.Context) error {
			if err := o.Seal(ctx); err != nil {
				return err
			}
			return act(ctx, o)
		})
	}
	recipestest.Zombie(t, client, func(pause recipestest.Pause) error {
		return under(func(ctx context.Context, o *objectfence.Object) error { return o.Replace(pause(ctx), []byte("late")) })
	}, func() error {
		return under(func(ctx context.Context, o *objectfence.Object) error { return o.Replace(ctx, []byte("next")) })
	})
	wantData(t, s, "next")
}
