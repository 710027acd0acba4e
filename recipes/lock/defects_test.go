package lock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// TestARepeatedReleaseNeverRemovesALaterHold: a copy of the release arrives when the session holds the lock again, or when another does.
func TestARepeatedReleaseNeverRemovesALaterHold(t *testing.T) {
	for _, successor := range []string{"the same session", "a waiter"} {
		t.Run(successor, func(t *testing.T) {
			faults := recipestest.NewFaults(t)
			prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
			s := open(t, recipestest.Namespace(t, prefix, faults))
			c := recipestest.Namespace(t, prefix)
			other := open(t, c)
			first := acquire(t, s, "x")
			next := func() *lock.Held { return acquire(t, s, "x") }
			if successor == "a waiter" {
				next = acquiring(t, other, "x")
				waiters(t, c, "x", 1)
			}
			late := faults.LateRequest(1, recipestest.Reset)
			release(t, first) // in a second attempt
			later := next()
			if err := late.LetThrough(); err != nil {
				t.Fatal(err)
			}
			release(t, first) // twice is once
			if _, err := later.Txn(t.Context()).Then(clientv3.OpPut("k", "v")).Commit(); err != nil {
				t.Errorf("the later holder's Txn: %v", err)
			}
			st, err := lock.Inspect(t.Context(), c, "x")
			if err != nil || st.Holder == nil || st.Holder.Token != later.Token() || len(st.Waiters) > 0 {
				t.Errorf("Inspect = %+v, %v, want the later holder alone", st, err)
			}
			release(t, later)
			if left := keysOf(t, c); len(left) != 1 {
				t.Errorf("left behind: %q, want k alone", left)
			}
		})
	}
}

// TestAReleaseCutOffIsFinishedInTheBackground: nobody waits for the lease of somebody who has let go.
func TestAReleaseCutOffIsFinishedInTheBackground(t *testing.T) {
	t.Parallel()
	prefix := fmt.Sprintf("%s %d", t.Name(), runs.Add(1))
	p := recipestest.NewProxy(t, recipestest.Endpoint(t))
	c := recipestest.Namespace(t, prefix, p)
	held := acquire(t, careless(t, c, 300*time.Second), "x")
	p.Cut(recipestest.Silence)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := held.Release(ctx); !errors.Is(err, session.ErrUnknownOutcome) {
		t.Errorf("Release = %v, want ErrUnknownOutcome", err)
	}
	p.Mend()
	c.ActiveConnection().ResetConnectBackoff()
	release(t, acquire(t, open(t, recipestest.Namespace(t, prefix)), "x"))
}

// TestNamesDoNotNest: no lock waits for the holder of another, however alike their names are.
func TestNamesDoNotNest(t *testing.T) {
	c := recipestest.Client(t)
	a, b := open(t, c), open(t, c)
	names := []string{"a", "a/", "a/b", "/a", "/", "a//b", "a%2Fb", "a%2fb", "a/e/", "a/tail", "e", "tail", "A", "a ", "a+", "a.", "..", "lock", "ä"}
	holds := map[string]*lock.Held{}
	for _, name := range names {
		held, err := lock.TryAcquire(t.Context(), a, name)
		if err != nil {
			t.Fatalf("%q, while %d others are held: %v", name, len(holds), err)
		}
		holds[name] = held
	}
	all, err := lock.List(t.Context(), c)
	if err != nil || len(all) != len(names) {
		t.Errorf("List shows %d locks (%v), want %d", len(all), err, len(names))
	}
	for i, name := range names {
		if i%2 == 0 {
			release(t, holds[name])
		}
	}
	for i, name := range names {
		held, err := lock.TryAcquire(t.Context(), b, name)
		switch {
		case i%2 == 0 && err != nil:
			t.Errorf("%q, which was released: %v", name, err)
		case i%2 == 0:
			release(t, held)
		case !errors.Is(err, lock.ErrHeld):
			t.Errorf("%q: %v, want ErrHeld: others were released", name, err)
		}
	}
}

// TestForeignKeysDoNoHarm: somebody else writes below the prefix of a lock, on no lease.
func TestForeignKeysDoNoHarm(t *testing.T) {
	const line = "/stile/v1/lock/x/"
	foreign := []string{
		line, line + "0", line + "694d9a1b", line + "z", line + "e", line + "tail2", line + "x/", line + "x/y",
		"/stile/v1/lock", "/stile/v1/lock/", "/stile/v1/lock/x", "/stile/v1/lock/loose", "/stile/v1/lock//tail", "/stile/v1/lock/%zz/e/1", "/stile/v1/lock/%00/e/1",
	}
	for what, value := range map[string]string{"empty": "", "rubbish": "\x00{", "large": strings.Repeat("x", 100<<10)} {
		t.Run(what, func(t *testing.T) {
			c := recipestest.Client(t)
			for _, key := range foreign {
				if _, err := c.Put(t.Context(), key, value); err != nil {
					t.Fatal(err)
				}
			}
			a, b := open(t, c), open(t, c)
			held, err := lock.TryAcquire(t.Context(), a, "x")
			if err != nil {
				t.Fatalf("a free lock: %v", err)
			}
			next := acquiring(t, b, "x")
			waiters(t, c, "x", 1)
			all, err := lock.List(t.Context(), c)
			if err != nil || len(all) != 1 || all[0].Name != "x" || all[0].Holder.Token != held.Token() || len(all[0].Waiters) != 1 {
				t.Errorf("List = %+v, %v, want x, its holder and its waiter", all, err)
			}
			release(t, held)
			release(t, next())
			if left := keysOf(t, c); len(left) != len(foreign) {
				t.Errorf("left: %d keys, want the %d foreign ones", len(left), len(foreign))
			}
		})
	}
}

// TestAForeignTailDoesNoHarm: it names nobody.
func TestAForeignTailDoesNoHarm(t *testing.T) {
	for what, value := range map[string]string{"empty": "", "rubbish": "\x00{", "a path": "../x/e/", "large": strings.Repeat("x", 100<<10)} {
		for how, get := range map[string]func(context.Context, *session.Session, string, ...lock.Option) (*lock.Held, error){"Acquire": lock.Acquire, "TryAcquire": lock.TryAcquire} {
			t.Run(what+", "+how, func(t *testing.T) {
				c := recipestest.Client(t)
				if _, err := c.Put(t.Context(), "/stile/v1/lock/x/tail", value); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				held, err := get(ctx, open(t, c), "x")
				if err != nil {
					t.Fatal(err)
				}
				release(t, held)
				if left := keysOf(t, c); len(left) > 0 {
					t.Errorf("left behind: %.200q", left)
				}
			})
		}
	}
}

// TestTheTokenIsTheRevisionOfTheHoldersKey, and not of some answer: also for a holder who had to wait.
func TestTheTokenIsTheRevisionOfTheHoldersKey(t *testing.T) {
	c := recipestest.Client(t)
	s := open(t, c)
	first := acquire(t, s, "x")
	next := acquiring(t, s, "x")
	waiters(t, c, "x", 1)
	if _, err := c.Put(t.Context(), "other", ""); err != nil { // revisions move on
		t.Fatal(err)
	}
	release(t, first)
	held := next()
	resp, err := c.Get(t.Context(), held.Claims()[0].Key)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("its key: %v, %v", resp, err)
	}
	kv := resp.Kvs[0]
	if kv.ModRevision != kv.CreateRevision || held.Token() != fencing.FromRevision(kv.ModRevision) {
		t.Errorf("token %v, want the revision %d at which its key was made, and written last (%d)", held.Token(), kv.CreateRevision, kv.ModRevision)
	}
	release(t, held)
}

// TestOfManyTriesOnAFreeLockOneSucceeds: never none, each refusing the others.
func TestOfManyTriesOnAFreeLockOneSucceeds(t *testing.T) {
	c := recipestest.Client(t)
	var sessions []*session.Session
	for range 8 {
		sessions = append(sessions, open(t, c))
	}
	for round := range 40 {
		if round%2 == 1 { // what a crash leaves
			if _, err := c.Put(t.Context(), "/stile/v1/lock/x/tail", fmt.Sprint("dead ", round)); err != nil {
				t.Fatal(err)
			}
		}
		got := make(chan *lock.Held, len(sessions))
		var wg sync.WaitGroup
		for _, s := range sessions {
			wg.Go(func() {
				held, err := lock.TryAcquire(t.Context(), s, "x")
				switch {
				case err == nil:
					got <- held
				case !errors.Is(err, lock.ErrHeld):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(got) != 1 {
			t.Fatalf("round %d: %d have the lock, want 1", round, len(got))
		}
		release(t, <-got)
	}
}
