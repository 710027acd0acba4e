package line

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-dev/stile/recipes/internal/fakeetcd"
	"github.com/stile-dev/stile/recipes/internal/keep"
	"github.com/stile-dev/stile/recipes/recipestest"
)

// virtual is the bubble's clock.
type virtual struct{ start time.Time }

func (c virtual) Boot() time.Duration { return time.Since(c.start) }
func (c virtual) Wall() time.Time     { return time.Now() }

// TestWhoWaitsIsToldItsPosition: at once, then each second if it has changed, and not after it has the head; however many wait they share one
// read a second.
func TestWhoWaitsIsToldItsPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := fakeetcd.New(fakeetcd.Options{})
		client := etcd.Connect("it", fakeetcd.Direct{}).Client()
		cfg := keep.Defaults()
		cfg.TTL, cfg.Clock = 300*time.Second, virtual{time.Now()} // it is not renewed meanwhile
		requests := recipestest.Count(client)
		k, err := keep.New(client, cfg)
		if err != nil {
			t.Fatal(err)
		}
		lease, err := k.Lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := k.Bound(t.Context(), lease)
		defer cancel()
		ln := New(k, "/l/")
		join := func(ln *Line) *Entry {
			e, err := ln.Join(ctx, lease, Details{})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		first, second := join(ln), join(ln)
		start := time.Now()
		var told [2][]string
		var waiting [2]chan error
		for i := range told {
			e := join(ln.On(Terms{Tell: func(ahead int) {
				told[i] = append(told[i], fmt.Sprintf("%d at %v", ahead, time.Since(start)))
			}}))
			waiting[i] = make(chan error, 1)
			go func() {
				err := e.Wait(ctx)
				if err == nil {
					err = e.Pass(ctx)
				}
				waiting[i] <- err
			}()
			synctest.Wait()
		}
		time.Sleep(2*time.Second + 500*time.Millisecond) // nothing changes
		if err := first.Pass(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // told at 3 s
		gets := requests.Gets.Load()
		if want := int64(5); gets != want { // at 0, 1, 2, 3 and 4 s
			t.Errorf("%d reads for two that wait, want %d", gets, want)
		}
		if err := second.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if err := second.Pass(ctx); err != nil { // and so they have it, one right after the other
			t.Fatal(err)
		}
		for i := range told {
			if err := <-waiting[i]; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
		if want := []string{"2 at 0s", "1 at 3s"}; !slices.Equal(told[0], want) {
			t.Errorf("the first was told %q, want %q", told[0], want)
		}
		if want := []string{"3 at 1s", "2 at 3s"}; !slices.Equal(told[1], want) {
			t.Errorf("the second was told %q, want %q", told[1], want)
		}
		if gets = requests.Gets.Load(); gets != 5 {
			t.Errorf("%d reads in all, want none after nobody waits", gets)
		}
		if err := k.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = client.Close()
		etcd.Close()
	})
}
