package server

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

const fatalDirEnv = "STILE_TEST_FATAL_DIR"

// startFatal runs in a process of its own, since etcd leaves files open behind it.
func startFatal(dir string) int {
	_, err := Start(context.Background(), Config{DataDir: dir, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err == nil {
		return 3
	}
	_, _ = os.Stdout.WriteString(err.Error())
	return 0
}

// etcd logs "fatal" and exits when it can't open its log; another process has locked it here.
func TestAFatalEndOfEtcdWhileStartingIsAnError(t *testing.T) {
	cfg := quick()
	cfg.Temporary, cfg.DataDir = false, t.TempDir()
	s := start(t, cfg)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob(filepath.Join(cfg.DataDir, "member", "wal", "*-0000000000000000.wal"))
	if len(logs) != 1 {
		t.Fatalf("write-ahead logs: %v", logs)
	}
	lock, err := fileutil.TryLockFile(logs[0], os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fatalDirEnv+"="+cfg.DataDir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the process ended: %v\n%s", err, out)
	}
	if got := string(out); !strings.Contains(got, "server: etcd in "+cfg.DataDir+": damaged or unusable: failed to open WAL") {
		t.Errorf("error %q doesn't say what is unusable", got)
	}
}

// What etcd left running after a start that failed ends itself only, not the process.
func TestAFatalEndAfterAStartThatFailedEndsItsGoroutineOnly(t *testing.T) {
	g := new(startGuard)
	g.failed.Store(true)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		newZap(slog.New(slog.DiscardHandler), g).Fatal("failed to commit tx")
		ended <- false
	}()
	if _, more := <-ended; more {
		t.Error("Fatal returned")
	}
}
