package hooks

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSomeTimeIsLeftForThoseAfterwards(t *testing.T) {
	for _, tc := range []struct{ given, want time.Duration }{
		{15 * time.Second, 14 * time.Second},
		{time.Second, 750 * time.Millisecond},
		{0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tc.given)
			defer cancel()
			short, cancel := Spare(ctx)
			defer cancel()
			start := time.Now()
			<-short.Done()
			if got := time.Since(start); got != tc.want {
				t.Errorf("of %v: ended after %v, want %v", tc.given, got, tc.want)
			}
		})
	}
}

func TestWithoutADeadlineItEndsWithItsParent(t *testing.T) {
	parent, end := context.WithCancel(t.Context())
	ctx, cancel := Spare(parent)
	defer cancel()
	if _, ok := ctx.Deadline(); ok {
		t.Error("it has a deadline")
	}
	end()
	<-ctx.Done()
}
