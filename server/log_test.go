package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// logBuffer is safe for etcd's goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func everything(b *logBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
}

// With these thresholds etcd complains about every request, and prints it.
func complainAlways(c *embed.Config) {
	c.WarningApplyDuration, c.WarningUnaryRequestDuration = time.Nanosecond, time.Nanosecond
}

func TestStoredKeysAndValuesAreNotLogged(t *testing.T) {
	const canary = "canary"
	var logs logBuffer
	cfg := quick()
	cfg.Logger = everything(&logs)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.tune = complainAlways
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	for _, c := range []*clientv3.Client{s.Client(), dial(t, clientv3.Config{Endpoints: s.Endpoints()})} {
		put(t, c, canary, canary)
		get(t, c, canary)
		txn := c.Txn(t.Context()).If(clientv3.Compare(clientv3.Value(canary), "=", canary)).
			Then(clientv3.OpPut(canary, canary), clientv3.OpGet(canary, clientv3.WithPrefix())).Else(clientv3.OpDelete(canary))
		if _, err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Delete(t.Context(), canary, clientv3.WithPrevKV()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UserAdd(t.Context(), fmt.Sprintf("user%p", c), canary); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := logs.String()
	if !strings.Contains(got, "apply request took too long") || !strings.Contains(got, redacted) {
		t.Fatalf("etcd didn't complain: the test proves nothing\n%s", got)
	}
	for line := range strings.Lines(got) {
		if strings.Contains(line, canary) {
			t.Errorf("logged: %s", line)
		}
	}
}

func TestTheLogBridge(t *testing.T) {
	var logs logBuffer
	log := newZap(everything(&logs), new(startGuard)).With(zap.String("member", "stile"))
	log.Debug("not passed on")
	log.Info("hello", zap.Int("request size", 7), zap.Strings("urls", []string{"u"}), zap.Error(errors.New("boom")), zap.Skip(),
		zap.String("request content", "canary"), zap.ByteString("anything", []byte("canary")), zap.Any("thing", struct{ V string }{"canary"}),
		zap.Stringer("raftReq", time.Second), zap.Strings("steps", []string{"canary"}))
	got := logs.String()
	for _, want := range []string{"level=INFO", "msg=hello", "member=stile", `"request size"=7`, "urls=[u]", "error=boom", "raftReq=" + redacted} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %s: %s", want, got)
		}
	}
	for _, secret := range []string{"canary", "not passed on"} {
		if strings.Contains(got, secret) {
			t.Errorf("the log has %q: %s", secret, got)
		}
	}
}

func TestAHandlersLevelIsObeyed(t *testing.T) {
	var logs logBuffer
	log := newZap(slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelWarn})), new(startGuard))
	log.Info("quiet")
	log.Warn("loud")
	if got := logs.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
		t.Errorf("got %s", got)
	}
}
