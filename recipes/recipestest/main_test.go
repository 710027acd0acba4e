package recipestest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { Main(m) }

const (
	soon = 100 * time.Millisecond // longer than a request takes, and short enough to wait for nothing
	late = 10 * time.Second       // for what must come
)

// within is a ctx that ends after d, or with the test.
func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func put(tb testing.TB, c *clientv3.Client, key, value string) int64 {
	tb.Helper()
	resp, err := c.Put(within(tb, late), key, value)
	if err != nil {
		tb.Fatalf("put %q: %v", key, err)
	}
	return resp.Header.Revision
}

// wantKey fails unless key has that value and was written so often.
func wantKey(tb testing.TB, c *clientv3.Client, key, value string, version int64) {
	tb.Helper()
	resp, err := c.Get(within(tb, late), key)
	if err != nil {
		tb.Fatalf("get %q: %v", key, err)
	}
	got, times := "", int64(0)
	for _, kv := range resp.Kvs {
		got, times = string(kv.Value), kv.Version
	}
	if got != value || times != version {
		tb.Errorf("%q = %q, written %d times, want %q, %d times", key, got, times, value, version)
	}
}

// wantTold fails unless err is what a client hears that sees s.
func wantTold(tb testing.TB, err error, s Symptom) {
	tb.Helper()
	switch {
	case s == Silence && !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded:
		tb.Errorf("the client heard %v, want nothing until its deadline", err)
	case s == Reset && status.Code(err) != codes.Unavailable:
		tb.Errorf("the client heard %v, want Unavailable", err)
	}
}

// eventually waits for a state.
func eventually(tb testing.TB, what string, state func() bool) {
	tb.Helper()
	ctx := within(tb, late)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !state() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("not within %v: %s", late, what)
		}
	}
}

// await waits for a channel to be closed.
func await(tb testing.TB, what string, c <-chan struct{}) {
	tb.Helper()
	select {
	case <-c:
	case <-time.After(late):
		tb.Fatalf("not within %v: %s", late, what)
	}
}

// fakeT is a test in which something may fail.
type fakeT struct {
	testing.TB
	fatal string // or an error
}

func (*fakeT) Helper() {}

func (f *fakeT) Fatalf(format string, args ...any) {
	f.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (f *fakeT) Errorf(format string, args ...any) { f.fatal = fmt.Sprintf(format, args...) }

// failure is how act fails f, "" if it doesn't.
func (f *fakeT) failure(act func()) string {
	f.fatal = ""
	done := make(chan struct{})
	go func() {
		defer close(done)
		act()
	}()
	<-done
	return f.fatal
}

// symptoms are those for which a test is run.
var symptoms = map[Symptom]string{Silence: "silence", Reset: "reset"}
