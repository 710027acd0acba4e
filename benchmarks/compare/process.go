package main

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
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/stile-dev/stile/server"
)

// processEnv holds the settings of the server that a process of this program is to be, as JSON.
const processEnv = "STILE_COMPARE_SERVER"

// startTimeout bounds the start and the stop of the server.
const startTimeout = 30 * time.Second

type processConfig struct {
	Profile string // file for a CPU profile, or ""
}

// process is a server in a process of its own.
type process struct {
	endpoint string
	cmd      *exec.Cmd
	stdin    io.WriteCloser // a line asks for the CPU time; closing it asks the server to stop
	stdout   *bufio.Reader
	stderr   *bytes.Buffer
}

// startProcess starts this program once more, as the server. Its data is in a temporary directory below dir.
func startProcess(ctx context.Context, dir, profile string) (*process, error) {
	cfg := processConfig{}
	if profile != "" {
		cfg.Profile = filepath.Join(profile, "server.pprof")
	}
	config, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self), stderr: new(bytes.Buffer)} // not CommandContext: close stops it
	p.cmd.Env = append(os.Environ(), processEnv+"="+string(config))
	if dir != "" {
		p.cmd.Env = append(p.cmd.Env, "TMPDIR="+dir, "TMP="+dir)
	}
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := p.ready(ctx); err != nil {
		return nil, fmt.Errorf("start the server: %w", errors.Join(err, p.close()))
	}
	return p, nil
}

func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })()
	line, err := p.stdout.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.endpoint)
	}
	return err
}

// cpuTime is how long the server has used processors; -1 if that can't be told.
func (p *process) cpuTime() time.Duration {
	used := time.Duration(-1)
	if _, err := io.WriteString(p.stdin, "\n"); err != nil {
		return -1
	}
	line, err := p.stdout.ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &used) != nil {
		return -1
	}
	return used
}

// close asks the server to stop, and kills it if it takes too long.
func (p *process) close() error {
	_ = p.stdin.Close()
	t := time.AfterFunc(startTimeout, func() { _ = p.cmd.Process.Kill() })
	defer t.Stop()
	_, _ = io.Copy(io.Discard, p.stdout)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the server's process: %w: %s", err, p.stderr.Bytes())
	}
	return nil
}

// serveProcess is the main function of the server's process. It returns when its standard input has ended: when it is asked to
// stop, or the measuring process is dead.
func serveProcess(config string) int {
	signal.Ignore(os.Interrupt) // Ctrl-C is for the other process, which then stops this one
	if err := serve(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve(config string) (err error) {
	var cfg processConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := server.Start(ctx, server.Config{Temporary: true, ClientURLs: []string{"http://127.0.0.1:0"}})
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		err = errors.Join(err, s.Err(), s.Close(end))
	}()
	stop, err := profileTo(cfg.Profile)
	if err != nil {
		return err
	}
	defer stop()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(s.Endpoints()[0]); err != nil {
		return err
	}
	asked := make(chan error, 1)
	go func() { asked <- answer(os.Stdin, out) }()
	select {
	case err = <-asked:
	case <-s.Done():
	}
	return err
}

// answer tells the CPU time of this process for each line that comes, until in has ended.
func answer(in io.Reader, out *json.Encoder) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := out.Encode(cpuTime()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// profileTo writes a CPU profile of this process until stop; none to "".
func profileTo(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
