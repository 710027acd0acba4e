package lock_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/recipestest"
	"github.com/stile-dev/stile/recipes/session"
)

// BenchmarkUncontended is one acquisition and its release, with nobody else in line: two commits.
func BenchmarkUncontended(b *testing.B) {
	s := benchSession(b, b.Name())
	for b.Loop() {
		held, err := lock.Acquire(b.Context(), s, "x")
		if err != nil {
			b.Fatal(err)
		}
		if err := held.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkContended is one acquisition while n sessions, each with a client of its own, want the lock all the time.
func BenchmarkContended(b *testing.B) {
	for _, n := range []int{2, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var sessions []*session.Session
			for range n {
				sessions = append(sessions, benchSession(b, b.Name()))
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, s := range sessions {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := lock.Do(b.Context(), s, "x", func(context.Context) error { return nil }); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acquisitions/s")
		})
	}
}

func benchSession(b *testing.B, prefix string) *session.Session {
	b.Helper()
	s, err := session.Open(b.Context(), recipestest.Namespace(b, prefix))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}
