package fencing_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stile-dev/stile/fencing"
)

func with(t *testing.T, c fencing.Claim) context.Context {
	t.Helper()
	return fencing.NewContext(t.Context(), c)
}

func nothing() error { return nil }

func TestASmallerTokenIsRefusedOnceALargerOneWasSeen(t *testing.T) {
	larger := map[string]func(*fencing.Memory, context.Context) error{
		"Check": (*fencing.Memory).Check,
		"Seal":  (*fencing.Memory).Seal,
		"Do":    func(m *fencing.Memory, ctx context.Context) error { return m.Do(ctx, nothing) },
	}
	for name, present := range larger {
		t.Run(name, func(t *testing.T) {
			var m fencing.Memory
			zombie, holder := with(t, claim("a", 5)), with(t, claim("a", 7))
			if err := m.Check(zombie); err != nil {
				t.Fatalf("the first holder: %v", err)
			}
			if err := present(&m, holder); err != nil {
				t.Fatalf("the second holder: %v", err)
			}
			wantStale(t, m.Check(zombie))
			wantStale(t, m.Seal(zombie))
			wantStale(t, m.CheckRead(zombie))
			wantStale(t, m.CheckRead(with(t, shared("a", 6))))
			wantStale(t, m.Do(zombie, func() error { t.Error("a stale write ran"); return nil }))
			if err := m.Check(holder); err != nil {
				t.Errorf("the second holder again: %v", err)
			}
			if err := m.Check(with(t, claim("b", 1))); err != nil {
				t.Errorf("a smaller token of another resource: %v", err)
			}
		})
	}
}

func wantStale(t *testing.T, err error) {
	t.Helper()
	var stale *fencing.StaleError
	if !errors.Is(err, fencing.ErrStale) || !errors.As(err, &stale) {
		t.Errorf("got %v, want a StaleError", err)
		return
	}
	if stale.Resource != "a" || stale.Seen != fencing.FromRevision(7) || stale.Presented.Compare(stale.Seen) >= 0 {
		t.Errorf("got %+v, want resource a and 7 as the token seen", stale)
	}
}

func TestReadsRaiseNothing(t *testing.T) {
	var m fencing.Memory
	for _, c := range []fencing.Claim{claim("a", 9), shared("a", 9)} {
		if err := m.CheckRead(with(t, c)); err != nil {
			t.Fatalf("CheckRead %v: %v", c.Mode, err)
		}
	}
	if got := m.Seen("a"); !got.IsZero() {
		t.Errorf("Seen after reads: got %v, want the zero token", got)
	}
	if err := m.Check(with(t, claim("a", 5))); err != nil {
		t.Errorf("a smaller token after a read: %v", err)
	}
}

func TestSharedClaimsRead(t *testing.T) {
	var m fencing.Memory
	reader := with(t, shared("a", 8))
	if err := m.Seal(with(t, claim("a", 7))); err != nil {
		t.Fatal(err)
	}
	if err := m.CheckRead(reader); err != nil {
		t.Errorf("CheckRead: %v", err)
	}
	for name, err := range map[string]error{
		"Check": m.Check(reader),
		"Do":    m.Do(reader, func() error { t.Error("a write ran with a shared claim"); return nil }),
	} {
		if !errors.Is(err, fencing.ErrShared) {
			t.Errorf("%s: got %v, want ErrShared", name, err)
		}
	}
	if got := m.Seen("a"); got != fencing.FromRevision(7) {
		t.Errorf("Seen: got %v, want 7", got)
	}
}

// A reader that has sealed is never surprised by a write of somebody who held before it.
func TestASealedReaderRefusesEarlierWriters(t *testing.T) {
	var m fencing.Memory
	writer, later := with(t, claim("a", 5)), with(t, claim("a", 9))
	first, second := with(t, shared("a", 6)), with(t, shared("a", 7))
	for name, err := range map[string]error{
		"the writer":        m.Check(writer),
		"the second reader": m.Seal(second),
		"the first reader":  m.Seal(first), // readers have no order among themselves
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	wantStale(t, m.Check(writer))
	wantStale(t, m.Seal(writer))
	wantStale(t, m.CheckRead(writer))
	if err := m.CheckRead(first); err != nil {
		t.Errorf("a reader beside a reader with a larger token: %v", err)
	}
	if err := m.Seal(later); err != nil {
		t.Errorf("the next writer: %v", err)
	}
	for name, err := range map[string]error{"CheckRead": m.CheckRead(first), "Seal": m.Seal(second)} {
		if !errors.Is(err, fencing.ErrStale) {
			t.Errorf("%s of a reader of before: got %v, want ErrStale", name, err)
		}
	}
}

func TestGateFailsClosed(t *testing.T) {
	ended, end := context.WithCancelCause(with(t, claim("a", 9)))
	end(errGone)
	for name, test := range map[string]struct {
		ctx  context.Context
		want error
	}{
		"no context":     {noContext, fencing.ErrNoClaim},
		"no claim":       {t.Context(), fencing.ErrNoClaim},
		"zero token":     {with(t, claim("a", 0)), fencing.ErrNoClaim},
		"empty resource": {with(t, claim("", 9)), fencing.ErrBadClaim},
		"unknown mode":   {with(t, fencing.Claim{Resource: "a", Token: fencing.FromRevision(9), Mode: 2}), fencing.ErrBadClaim},
		"several":        {fencing.NewContext(with(t, claim("a", 9)), claim("b", 9)), fencing.ErrAmbiguousClaim},
		"ended hold":     {with(t, claim("a", 9).Bind(func() error { return errGone })), fencing.ErrEnded},
		"ended ctx":      {ended, context.Canceled},
		"its cause":      {ended, errGone},
	} {
		t.Run(name, func(t *testing.T) {
			var m fencing.Memory
			var gate fencing.Gate = &m
			for method, err := range map[string]error{
				"Check":     gate.Check(test.ctx),
				"CheckRead": gate.CheckRead(test.ctx),
				"Seal":      gate.Seal(test.ctx),
				"Do":        m.Do(test.ctx, func() error { t.Error("write ran"); return nil }),
			} {
				if !errors.Is(err, test.want) {
					t.Errorf("%s: got %v, want %v", method, err, test.want)
				}
			}
			if got := m.Seen("a"); !got.IsZero() {
				t.Errorf("a refused claim was remembered: %v", got)
			}
		})
	}
}

func TestATokenCountsAsSeenWhateverBecomesOfTheWrite(t *testing.T) {
	fail := errors.New("disk full")
	for name, write := range map[string]func() error{
		"error":  func() error { return fail },
		"panic":  func() error { panic(fail) },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			var m fencing.Memory
			ctx := with(t, claim("a", 7))
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				if err := m.Do(ctx, write); err != fail { //nolint:errorlint // the very same error is promised
					t.Errorf("got %v, want the error of write as it is", err)
				}
			}()
			<-done
			wantStale(t, m.Check(with(t, claim("a", 5))))
			if err := m.Check(ctx); err != nil {
				t.Errorf("the turn was not passed on: %v", err)
			}
		})
	}
}

// The log has no lock of its own: the race detector sees two writes at once.
func TestNoSmallerTokenWritesAfterALargerOne(t *testing.T) {
	const holders, writes = 16, 200
	var m fencing.Memory
	var log []fencing.Token
	var group sync.WaitGroup
	for range holders {
		group.Go(func() {
			for range writes {
				c := claim("a", 1+rand.Int64N(holders*writes))
				ctx := fencing.NewContext(t.Context(), c)
				err := m.Do(ctx, func() error { log = append(log, c.Token); runtime.Gosched(); return nil })
				if err != nil && !errors.Is(err, fencing.ErrStale) {
					t.Errorf("Do: %v", err)
				}
				if seen := m.Seen("a"); seen.Compare(c.Token) < 0 {
					t.Errorf("Seen: got %v after %v was presented", seen, c.Token)
				}
			}
		})
	}
	group.Wait()
	for i := range log[1:] {
		if log[i+1].Compare(log[i]) < 0 {
			t.Fatalf("write %d had the token %v, after one with %v", i+1, log[i+1], log[i])
		}
	}
	if got := m.Seen("a"); got != log[len(log)-1] {
		t.Errorf("Seen: got %v, want that of the last write, %v", got, log[len(log)-1])
	}
}

func TestNothingIsAdmittedWhileAWriteRuns(t *testing.T) {
	waiting := map[string]func(*fencing.Memory, context.Context) error{
		"Check":     (*fencing.Memory).Check,
		"CheckRead": (*fencing.Memory).CheckRead,
		"Seal":      (*fencing.Memory).Seal,
		"Do":        func(m *fencing.Memory, ctx context.Context) error { return m.Do(ctx, nothing) },
	}
	for name, present := range waiting {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m fencing.Memory
				finish, written, admitted := make(chan struct{}), false, make(chan error, 1)
				go m.Do(with(t, claim("a", 5)), func() error { <-finish; written = true; return nil })
				synctest.Wait()
				if got := m.Seen("a"); got != fencing.FromRevision(5) {
					t.Errorf("Seen while the write runs: got %v, want 5", got)
				}
				if err := m.Check(with(t, claim("b", 1))); err != nil {
					t.Errorf("another resource waits too: %v", err)
				}
				go func() { admitted <- present(&m, with(t, claim("a", 7))) }()
				synctest.Wait()
				if len(admitted) > 0 {
					t.Error("a larger token was admitted while the write ran")
				}
				close(finish)
				if err := <-admitted; err != nil || !written {
					t.Errorf("after the write: got %v with written %t", err, written)
				}
			})
		})
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m fencing.Memory
		finish, admitted := make(chan struct{}), make(chan error, 1)
		go m.Do(with(t, claim("a", 5)), func() error { <-finish; return nil })
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(with(t, claim("a", 7)))
		go func() { admitted <- m.Seal(ctx) }()
		synctest.Wait()
		cancel(errGone)
		if err := <-admitted; !errors.Is(err, context.Canceled) || !errors.Is(err, errGone) {
			t.Errorf("got %v, want context.Canceled and its cause", err)
		}
		close(finish)
		synctest.Wait()
		if got := m.Seen("a"); got != fencing.FromRevision(5) {
			t.Errorf("Seen: got %v, want 5: the seal was given up", got)
		}
	})
}

func TestAHoldThatEndsWhileItWaitsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m fencing.Memory
		finish, admitted := make(chan struct{}), make(chan error, 1)
		go m.Do(with(t, claim("a", 5)), func() error { <-finish; return nil })
		synctest.Wait()
		var ended error
		ctx := with(t, claim("a", 7).Bind(func() error { return ended }))
		go func() {
			admitted <- m.Do(ctx, func() error { t.Error("the write of an ended hold ran"); return nil })
		}()
		synctest.Wait()
		ended = errGone
		close(finish)
		if err := <-admitted; !errors.Is(err, fencing.ErrEnded) || !errors.Is(err, errGone) {
			t.Errorf("got %v, want ErrEnded and its reason", err)
		}
		if got := m.Seen("a"); got != fencing.FromRevision(5) {
			t.Errorf("Seen: got %v, want 5", got)
		}
	})
}
