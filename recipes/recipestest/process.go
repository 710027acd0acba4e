package recipestest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stile-dev/stile/server"
)

// processEnv holds the configuration of the server that a process is to be, as JSON.
const processEnv = "STILE_RECIPESTEST_SERVER"

// A Process is a Server in a process of its own, which can be frozen and killed. It works on Linux and macOS.
type Process struct {
	Server

	child *child // nil while it is stopped
}

// NewProcess starts a server in a process of its own, for this test alone, as NewServer does. The process is the test binary itself, so
// TestMain must call Main, before anything that a second process must not do. Where processes can't be frozen, it skips the test.
func NewProcess(tb testing.TB, opts ...ServerOption) *Process {
	tb.Helper()
	p := newProcess(tb)
	p.configure(opts)
	p.Start()
	tb.Cleanup(p.Stop)
	return p
}

func newProcess(tb testing.TB) *Process {
	tb.Helper()
	if !canFreeze {
		tb.Skipf("recipestest: a process can't be frozen on %s", runtime.GOOS)
	}
	shared.Lock()
	main := shared.main
	shared.Unlock()
	if !main {
		tb.Fatalf("recipestest: a server in a process of its own needs a TestMain that calls recipestest.Main")
	}
	p := &Process{}
	p.tb = tb
	p.start = func(ctx context.Context, cfg server.Config) (running, error) {
		c, err := startChild(ctx, cfg)
		if err != nil {
			return nil, err
		}
		p.child = c
		return c, nil
	}
	return p
}

// Freeze stops the process in its tracks. Its connections stay, and get no answer.
func (p *Process) Freeze() {
	p.tb.Helper()
	if p.server == nil || p.child.frozen {
		p.tb.Fatalf("recipestest: freeze: the server is frozen, or doesn't run")
	}
	if err := freeze(p.child.cmd.Process); err != nil {
		p.tb.Fatalf("recipestest: freeze: %v", err)
	}
	p.child.frozen = true
}

// Thaw has it go on where it was. Stop does it too.
func (p *Process) Thaw() {
	p.tb.Helper()
	if p.server == nil {
		p.tb.Fatalf("recipestest: thaw: the server doesn't run")
	}
	if err := p.child.thaw(); err != nil {
		p.tb.Fatalf("recipestest: thaw: %v", err)
	}
}

// Kill ends the process without a word to anybody, frozen or not. Start starts another on its data.
func (p *Process) Kill() {
	p.tb.Helper()
	if p.server == nil {
		p.tb.Fatalf("recipestest: kill: the server doesn't run")
	}
	_ = p.child.cmd.Process.Kill()
	<-p.child.ended
	p.server = nil
}

// child is a server process, seen from the test.
type child struct {
	cmd       *exec.Cmd
	endpoints []string
	stdin     io.Closer // closing it asks the server to stop
	frozen    bool

	ended  chan struct{}
	err    error        // why it ended, once ended is closed
	stderr bytes.Buffer // what it said, once ended is closed
}

func startChild(ctx context.Context, cfg server.Config) (*child, error) {
	cfg.Logger = nil
	config, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), processEnv+"="+string(config))
	c.cmd.Stderr = &c.stderr
	c.cmd.WaitDelay = startTimeout
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, ours, err := os.Pipe() // StdoutPipe must not be read while Wait runs
	if err != nil {
		return nil, err
	}
	defer func() { _ = stdout.Close() }()
	c.cmd.Stdout = ours
	started := make(chan error)
	go c.run(started)
	err = <-started
	_ = ours.Close()
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() })()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.endpoints)
	}
	if err != nil {
		_ = c.cmd.Process.Kill()
		<-c.ended
		return nil, fmt.Errorf("the server's process: %w: %s", errors.Join(err, c.err), c.stderr.Bytes())
	}
	return c, nil
}

// run starts the process and waits for its end, on one thread: Linux ends the process with the thread that started it.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.ended)
	endWithUs(c.cmd)
	err := c.cmd.Start()
	started <- err
	if err == nil {
		c.err = c.cmd.Wait()
	}
}

// Endpoints are the URLs at which it is reached.
func (c *child) Endpoints() []string { return c.endpoints }

func (c *child) thaw() error {
	if !c.frozen {
		return nil
	}
	c.frozen = false
	return thaw(c.cmd.Process)
}

// Close asks the process to stop, and kills it when ctx ends first.
func (c *child) Close(ctx context.Context) error {
	err := errors.Join(c.thaw(), c.stdin.Close())
	select {
	case <-c.ended:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err(), c.cmd.Process.Kill())
		<-c.ended
	}
	if c.err != nil {
		err = errors.Join(err, fmt.Errorf("the server's process: %w: %s", c.err, c.stderr.Bytes()))
	}
	return err
}

// serveProcess is the main function of a server's process. It returns when its standard input has ended: when the test asks for that,
// or is dead.
func serveProcess(config string) int {
	if err := serve(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve(config string) error {
	var cfg server.Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := server.Start(ctx, cfg)
	if err != nil {
		return err
	}
	asked := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(asked)
	}()
	err = json.NewEncoder(os.Stdout).Encode(s.Endpoints())
	if err == nil {
		select {
		case <-asked:
		case <-s.Done():
		}
	}
	end, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return errors.Join(err, s.Err(), here{s}.Close(end))
}
