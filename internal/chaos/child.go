package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// A child is a process of the harness's own: a server, a client, or the store.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer // its end asks a client, or the store, to stop
	ended chan struct{}
	err   error // once ended is closed

	mu     sync.Mutex
	paused bool
}

// startChild starts cmd; what it writes to standard error goes to the file at log. It returns its standard output.
func startChild(cmd *exec.Cmd, log string) (*child, io.ReadCloser, error) {
	stderr, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	c := &child{cmd: cmd, ended: make(chan struct{})}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	cmd.Stdout = theirs
	tie(cmd)
	started := make(chan error)
	go c.run(started)
	if err := <-started; err != nil {
		_ = out.Close()
		return nil, nil, err
	}
	return c, out, nil
}

// run starts it and waits for its end, on one thread, which it is tied to.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.ended)
	err := c.cmd.Start()
	started <- err
	if err == nil {
		c.err = c.cmd.Wait()
	}
}

// pause stops it where it is, until resume.
func (c *child) pause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
	return ignoreEnded(pause(c.cmd.Process))
}

func (c *child) resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = false
	return ignoreEnded(resume(c.cmd.Process))
}

func ignoreEnded(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// kill ends it at once, and returns when it has ended.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
}

// stop asks it to end by f and waits, for no longer than within. Then it has it tell what it does, and kills it.
func (c *child) stop(within time.Duration, f func() error) error {
	if err := errors.Join(c.resume(), f()); err != nil {
		c.kill()
		return err
	}
	select {
	case <-c.ended:
		return c.err
	case <-time.After(within):
	}
	_ = askForStacks(c.cmd.Process)
	select {
	case <-c.ended:
	case <-time.After(time.Second):
	}
	c.kill()
	return fmt.Errorf("it did not stop within %v; its goroutines are in its log", within)
}

// over tells whether it has ended.
func (c *child) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// readLine reads the first line of out, and then reads on, so that the process can write.
func readLine(ctx context.Context, out io.ReadCloser) ([]byte, error) {
	type result struct {
		line []byte
		err  error
	}
	got := make(chan result, 1)
	go func() {
		r := bufio.NewReader(out)
		line, err := r.ReadBytes('\n')
		got <- result{line, err}
		_, _ = io.Copy(io.Discard, r)
		_ = out.Close()
	}()
	select {
	case r := <-got:
		return r.line, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// roleEnv tells this program, started once more, what it is: the store, or a client. Its configuration is in configEnv.
const (
	roleEnv   = "STILE_CHAOS_ROLE"
	configEnv = "STILE_CHAOS_CONFIG"
)

// command starts program, which is this one or one built like it, in a role.
func command(program, role string, cfg any) (*exec.Cmd, error) {
	config, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, configEnv+"="+string(config), "GOTRACEBACK=all")
	return cmd, nil
}

// Role runs what this process is, if it is not the harness itself.
func Role() (is bool, err error) {
	config := []byte(os.Getenv(configEnv))
	switch role := os.Getenv(roleEnv); role {
	case "":
		return false, nil
	case "client":
		var cfg ClientConfig
		if err := json.Unmarshal(config, &cfg); err != nil {
			return true, err
		}
		return true, RunClient(cfg, os.Stdin)
	case "store":
		var cfg StoreConfig
		if err := json.Unmarshal(config, &cfg); err != nil {
			return true, err
		}
		return true, ServeStore(cfg, os.Stdin, os.Stdout)
	default:
		return true, fmt.Errorf("%s=%s: no such role", roleEnv, role)
	}
}
