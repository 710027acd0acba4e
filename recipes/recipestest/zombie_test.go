package recipestest

import (
	"context"
	"errors"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

// stage is what a zombie needs: two processes and a resource.
type stage struct {
	client       *clientv3.Client
	mine, theirs *session.Session
	gate         fencing.Memory
	log          []string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	st := &stage{client: Client(t)}
	for _, s := range []**session.Session{&st.mine, &st.theirs} {
		var err error
		if *s, err = session.Open(within(t, late), st.client); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*s).Close(context.Background()) })
	}
	return st
}

// under is work that holds a lock.
func (st *stage) under(t *testing.T, s *session.Session, act func(ctx context.Context) error) error {
	t.Helper()
	return lock.Do(within(t, late), s, "x", act)
}

func (st *stage) write(ctx context.Context, text string) error {
	return st.gate.Do(ctx, func() error { st.log = append(st.log, text); return nil })
}

func (st *stage) next(t *testing.T) func() error {
	t.Helper()
	return func() error {
		return st.under(t, st.theirs, func(ctx context.Context) error { return st.write(ctx, "next") })
	}
}

// TestAZombieIsRefusedByTheResource, which it asks, though its hold has ended.
func TestAZombieIsRefusedByTheResource(t *testing.T) {
	st := newStage(t)
	Zombie(t, st.client, func(pause Pause) error {
		return st.under(t, st.mine, func(ctx context.Context) error {
			if err := st.write(ctx, "first"); err != nil {
				return err
			}
			resumed := pause(ctx)
			if c, err := fencing.FromContext(resumed); err != nil || resumed.Err() != nil {
				t.Errorf("the zombie does not believe in its hold: %v, %v, %v", c, err, resumed.Err())
			}
			return st.write(pause(resumed), "late")
		})
	}, st.next(t))
	if got := strings.Join(st.log, " "); got != "first next" {
		t.Errorf("written: %s", got)
	}
}

// TestWhatAZombieShows: each way in which a test shows nothing, or the wrong thing, fails it.
func TestWhatAZombieShows(t *testing.T) {
	gone := errors.New("gone")
	for name, test := range map[string]struct {
		work func(st *stage, ctx context.Context, pause Pause) error
		next error
		want string
	}{
		"no check":    {func(_ *stage, ctx context.Context, pause Pause) error { pause(ctx); return nil }, nil, "did not refuse"},
		"other error": {func(_ *stage, ctx context.Context, pause Pause) error { pause(ctx); return gone }, nil, "did not refuse"},
		"its own ctx": {func(st *stage, ctx context.Context, pause Pause) error {
			pause(ctx)
			<-ctx.Done()
			return st.write(ctx, "late")
		}, nil, "use the context that pause returns"},
		"no pause":       {func(*stage, context.Context, Pause) error { return gone }, nil, "ended without a pause: gone"},
		"no hold":        {func(_ *stage, _ context.Context, pause Pause) error { pause(t.Context()); return nil }, nil, "takes the context of the hold"},
		"next is no use": {func(st *stage, ctx context.Context, pause Pause) error { return st.write(pause(ctx), "late") }, gone, "the holder after the zombie: gone"},
	} {
		t.Run(name, func(t *testing.T) {
			st, fake := newStage(t), &fakeT{TB: t}
			got := fake.failure(func() {
				Zombie(fake, st.client, func(pause Pause) error {
					return st.under(t, st.mine, func(ctx context.Context) error { return test.work(st, ctx, pause) })
				}, func() error { return errors.Join(st.next(t)(), test.next) })
			})
			if !strings.Contains(got, test.want) {
				t.Errorf("the test fails with %q, want %q", got, test.want)
			}
		})
	}
}
