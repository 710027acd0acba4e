package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	fullDirEnv  = "STILE_TEST_FULL_DIR"
	fullSizeEnv = "STILE_TEST_FULL_SIZE"
)

// startFull starts a server that can't write, then one that can, in a process of its own: no file may
// grow beyond the limit.
func startFull(dir string) int {
	size, _ := strconv.ParseUint(os.Getenv(fullSizeEnv), 10, 64)
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return 4
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}); err != nil {
		return 4
	}
	cfg := Config{DataDir: dir, ClientURLs: []string{"http://127.0.0.1:0"}}
	_, err := Start(context.Background(), cfg)
	fmt.Println("refused:", err)
	if _, err := Start(context.Background(), cfg); err == nil { // the same again, with what that left
		return 3
	}
	left, _ := filepath.Glob(filepath.Join(dir, "member", "snap", "*"))
	fmt.Println("left:", left)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return 4
	}
	s, err := Start(context.Background(), cfg)
	if err != nil {
		fmt.Println("second:", err)
		return 3
	}
	select { // etcd commits every 100 ms: what the first attempt left might end it
	case <-s.Done():
		return 3
	case <-time.After(200 * time.Millisecond):
	}
	if err := s.Close(context.Background()); err != nil {
		return 3
	}
	return 0
}

func TestAFirstStartOnAFullDiskIsAnError(t *testing.T) {
	for size, want := range map[string]string{"0": "file too large", "5000": "file too large", "1000000": "no room for a log of 64 MB"} {
		t.Run(size, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fullDirEnv+"="+dir, fullSizeEnv+"="+size)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("the process ended: %v\n%s", err, out)
			}
			if got := string(out); !strings.Contains(got, "refused: server: data directory "+dir+": database: "+want) {
				t.Errorf("got %s, want %s", got, want)
			}
			if size != "1000000" && !strings.Contains(string(out), "left: []") {
				t.Errorf("something is left: %s", out)
			}
		})
	}
}
