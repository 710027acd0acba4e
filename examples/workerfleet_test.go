package examples

import (
	"bufio"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/recipestest"
)

// fleet is what some workers say.
type fleet struct {
	t      *testing.T
	mu     sync.Mutex
	works  map[int]string // who works on each shard
	tokens map[int]int64
	leader string
	said   chan struct{}
}

type fleetWorker struct {
	cmd  *exec.Cmd
	done chan error
}

func (f *fleet) start(bin, name string) *fleetWorker {
	f.t.Helper()
	w := &fleetWorker{cmd: exec.Command(bin, "-endpoint", recipestest.Endpoint(f.t), "-name", name, "-ttl", "5s"), done: make(chan error, 1)}
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f.hear(name, lines.Text())
		}
		w.done <- w.cmd.Wait()
	}()
	f.t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

func (f *fleet) hear(name, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	words := strings.Fields(line)
	switch {
	case strings.HasSuffix(line, " leads"):
		f.leader = name
	case strings.Contains(line, "works on shard"):
		shard, _ := strconv.Atoi(words[4])
		token, _ := strconv.ParseInt(words[7], 10, 64)
		if token <= f.tokens[shard] {
			f.t.Errorf("shard %d: token %d after %d", shard, token, f.tokens[shard])
		}
		f.works[shard], f.tokens[shard] = name, token
	case strings.Contains(line, "has left shard"):
		shard, _ := strconv.Atoi(words[4])
		if f.works[shard] != name && f.works[shard] != "" { // the lines of two processes may come in another order
			break
		}
		delete(f.works, shard)
	default:
		f.t.Errorf("%s says %q", name, line)
	}
	select {
	case f.said <- struct{}{}:
	default:
	}
}

// shares waits until the workers have so many shards each, and returns who leads.
func (f *fleet) shares(want map[string]int) (leader string) {
	f.t.Helper()
	for limit := time.After(time.Minute); ; {
		f.mu.Lock()
		got := map[string]int{}
		for _, name := range f.works {
			got[name]++
		}
		leader = f.leader
		f.mu.Unlock()
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return leader
		}
		select {
		case <-f.said:
		case <-limit:
			f.t.Fatalf("the shares are %v, want %v", got, want)
		}
	}
}

// TestWorkerfleet: shards are shared out evenly; when the leader is killed the others get its shards, and when one is stopped it goes in order.
func TestWorkerfleet(t *testing.T) {
	bin := build(t, "workerfleet")
	f := &fleet{t: t, works: map[int]string{}, tokens: map[int]int64{}, said: make(chan struct{}, 1)}
	workers := map[string]*fleetWorker{"a": f.start(bin, "a")}
	f.shares(map[string]int{"a": 12})
	workers["b"], workers["c"] = f.start(bin, "b"), f.start(bin, "c")
	leader := f.shares(map[string]int{"a": 4, "b": 4, "c": 4})
	if err := workers[leader].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-workers[leader].done
	delete(workers, leader)
	want := map[string]int{}
	for name := range workers {
		want[name] = 6
	}
	leader = f.shares(want)
	if err := workers[leader].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-workers[leader].done; err != nil {
		t.Errorf("%s, stopped, ended with %v", leader, err)
	}
	delete(workers, leader)
	for name, last := range workers {
		f.shares(map[string]int{name: 12})
		_ = last.cmd.Process.Signal(syscall.SIGTERM)
		if err := <-last.done; err != nil {
			t.Errorf("%s, stopped, ended with %v", name, err)
		}
	}
	f.shares(map[string]int{})
}
