package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tie has the kernel kill cmd when the thread that starts it ends: one that is stopped would not notice that nobody needs it.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
}

func pause(p *os.Process) error  { return p.Signal(unix.SIGSTOP) }
func resume(p *os.Process) error { return p.Signal(unix.SIGCONT) }
func ask(p *os.Process) error    { return p.Signal(unix.SIGTERM) }

// askForStacks has a Go program write what its goroutines do, and end.
func askForStacks(p *os.Process) error { return p.Signal(unix.SIGQUIT) }

// A smallDisk is a file system in memory that can be filled.
type smallDisk struct{ dir string }

// mountSmall mounts one of that many bytes on dir. That takes root.
func mountSmall(dir string, bytes int64) (*smallDisk, error) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("size=%d", bytes)); err != nil {
		return nil, fmt.Errorf("mount a tmpfs: %w", err)
	}
	return &smallDisk{dir}, nil
}

func (d *smallDisk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves no room.
func (d *smallDisk) fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (d *smallDisk) free() error { return os.Remove(d.filler()) }

func (d *smallDisk) unmount() error { return unix.Unmount(d.dir, unix.MNT_DETACH) }

// A throttle is a cgroup whose processes may write only so often.
type throttle struct{ dir, device string }

const (
	blkio  = "/sys/fs/cgroup/blkio"
	prefix = "stile-chaos-" // and the number of the process whose it is
)

// sweepThrottles removes those of runs that were killed.
func sweepThrottles() {
	dirs, _ := filepath.Glob(filepath.Join(blkio, prefix+"*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix))
		if err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = os.Remove(dir)
		}
	}
}

// newThrottle makes one for the device that dir is on. It takes root and version 1 of the block controller.
func newThrottle(dir string) (*throttle, error) {
	sweepThrottles()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, err
	}
	t := &throttle{
		dir:    filepath.Join(blkio, prefix+strconv.Itoa(os.Getpid())),
		device: fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)),
	}
	if err := os.Mkdir(t.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	if err := t.limit(0); err != nil {
		_ = os.Remove(t.dir)
		return nil, err
	}
	return t, nil
}

// limit sets how many writes a second there may be; 0 is any number.
func (t *throttle) limit(perSecond int) error {
	return os.WriteFile(filepath.Join(t.dir, "blkio.throttle.write_iops_device"), fmt.Appendf(nil, "%s %d", t.device, perSecond), 0)
}

// add puts a process under the limit.
func (t *throttle) add(p *os.Process) error {
	return os.WriteFile(filepath.Join(t.dir, "cgroup.procs"), fmt.Appendf(nil, "%d", p.Pid), 0)
}

func (t *throttle) remove() error { return os.Remove(t.dir) }
