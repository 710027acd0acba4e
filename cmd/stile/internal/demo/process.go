package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/stile-dev/stile/cmd/stile/internal/proc"
)

// stepTime is how long a worker may take for what it is told.
const stepTime = 10 * time.Second

// errLost says that a worker lost the lock when that was not to be expected. It goes on.
var errLost = errors.New("it lost the lock")

// process is a worker as the demo sees it: what it is told, what it reports.
type process struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports chan report
	quit    chan struct{} // closed when nobody listens any more
	dead    chan struct{} // closed when it has ended
}

// startProcess starts the program that runs already once more, as a worker that cannot outlive it.
func startProcess(ctx context.Context, cfg workerConfig) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	p := &process{name: cfg.Name, reports: make(chan report, 8), quit: make(chan struct{}), dead: make(chan struct{})}
	p.cmd = exec.Command(program, "demo-worker")
	p.cmd.Env = append(os.Environ(), configEnv+"="+string(env))
	p.cmd.Stderr = os.Stderr
	proc.Own(p.cmd)
	proc.Tie(p.cmd)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go proc.Thread(func() { p.run(out, started) })
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start worker %s: %w", cfg.Name, err)
	}
	if _, err = p.wait(ctx, sayReady); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// run is the thread that the process is tied to.
func (p *process) run(out io.Reader, started chan<- error) {
	defer close(p.dead)
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		r := report{at: time.Now()}
		if json.Unmarshal(s.Bytes(), &r) != nil {
			continue // a panic's text, say; what was waited for will be missed
		}
		select {
		case p.reports <- r:
		case <-p.quit:
		}
	}
	_ = p.cmd.Wait() // it was killed, as a rule
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) tell(what string) error {
	if _, err := fmt.Fprintln(p.stdin, what); err != nil {
		return fmt.Errorf("worker %s: tell it to %s: %w", p.name, what, err)
	}
	return nil
}

// wait returns the next report of the kind.
func (p *process) wait(ctx context.Context, event string) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		select {
		case r := <-p.reports:
			if r.Event == event {
				return r, nil
			}
			if r.Event == sayLost {
				return report{}, fmt.Errorf("worker %s: waiting for it to say %q: %w: %s", p.name, event, errLost, r.Error)
			}
		case <-p.dead:
			return report{}, fmt.Errorf("worker %s died: %v", p.name, p.cmd.ProcessState)
		case <-ctx.Done():
			return report{}, fmt.Errorf("worker %s: waiting for it to say %q: %w", p.name, event, context.Cause(ctx))
		}
	}
}

// ask tells it something and waits for the answer.
func (p *process) ask(ctx context.Context, what, event string) (report, error) {
	if err := p.tell(what); err != nil {
		return report{}, err
	}
	return p.wait(ctx, event)
}

func (p *process) pause() error  { return proc.Pause(p.cmd.Process) }
func (p *process) resume() error { return proc.Resume(p.cmd.Process) }

// kill ends it at once, as a crash does, and waits for that.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.dead
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// end is kill for the last time: nobody listens to it any more.
func (p *process) end() error {
	close(p.quit)
	return p.kill()
}
