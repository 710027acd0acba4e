package demo

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkersThatDieAtOnceAreStartedMoreAndMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var starts []time.Time
		l := life{
			turn:    func(context.Context) error { return errors.New("it died") },
			dismiss: func(error) {},
			start: func(context.Context) error {
				starts = append(starts, time.Now())
				if len(starts) > 100 {
					cancel()
				}
				return nil
			},
		}
		_ = l.run(ctx)
		if n := len(starts); n < 3 || n > 6 {
			t.Fatalf("%d starts in a minute, want a few", n)
		}
		if first, second := starts[1].Sub(starts[0]), starts[2].Sub(starts[1]); first < time.Second || second <= first {
			t.Errorf("after %v and %v, want a second at least, and growing", first, second)
		}
	})
}
