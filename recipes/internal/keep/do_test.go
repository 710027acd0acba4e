package keep

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWorkEndsWithItsContext(t *testing.T) {
	bubble(t, func(b *bench) {
		released := false
		h := b.hold(b.open(), func(context.Context) error { released = true; return nil })
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		err := h.Do(ctx, func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the work does not see the deadline")
			}
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, context.DeadlineExceeded) || !released {
			t.Errorf("Do = %v, released: %v; want the deadline, and true", err, released)
		}
	})
}

func TestWorkThatPanicsReleases(t *testing.T) {
	bubble(t, func(b *bench) {
		released := false
		h := b.hold(b.open(), func(context.Context) error { released = true; return nil })
		defer func() {
			if r := recover(); r != "boom" || !released {
				t.Errorf("recovered %v, released: %v; want the panic itself, and true", r, released)
			}
		}()
		_ = h.Do(context.Background(), func(context.Context) error { panic("boom") })
	})
}

func TestDoDoesNotHideTheLoss(t *testing.T) {
	failed := errors.New("the work failed")
	for name, give := range map[string]func(context.Context) error{
		"nobody has noticed": func(context.Context) error { return ErrNotThere },
		"noticed":            nil,
	} {
		for _, work := range []error{nil, failed} {
			bubble(t, func(b *bench) {
				h := b.hold(b.open(), give)
				err := h.Do(context.Background(), func(context.Context) error {
					if give == nil {
						h.lose("its key was deleted")
					}
					return work
				})
				if !errors.Is(err, ErrLost) || work != nil && !errors.Is(err, work) {
					t.Errorf("%s, work returned %v: Do = %v, want ErrLost and that", name, work, err)
				}
			})
		}
	}
}

// TestDoKnowsLostFromUnknown: the work was done under the hold; it is only giving it back that failed.
func TestDoKnowsLostFromUnknown(t *testing.T) {
	bubble(t, func(b *bench) {
		h := b.hold(b.open(), func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		b.etcd.on("renew", never)
		err := h.Do(context.Background(), func(context.Context) error { return nil })
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Do = %v, want ErrUnknownOutcome", err)
		}
	})
}

func TestTheCauseOfTheWorksContext(t *testing.T) {
	mine := errors.New("mine")
	for range 20 {
		bubble(t, func(b *bench) {
			h := b.hold(b.open(), nil)
			ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, mine)
			defer cancel()
			_ = h.Do(ctx, func(ctx context.Context) error {
				<-ctx.Done()
				if cause := context.Cause(ctx); !errors.Is(cause, mine) {
					t.Errorf("cause %v, want the caller's", cause)
				}
				return nil
			})
		})
	}
}
