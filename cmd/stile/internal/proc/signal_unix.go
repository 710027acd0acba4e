//go:build unix

package proc

import (
	"os"
	"os/signal"
	"syscall"
)

func setGroup(a *syscall.SysProcAttr) { a.Setpgid = true }

// CanPause says whether processes can be stopped and resumed here.
const CanPause = true

// Pause stops p where it stands. It finds out when it looks at a clock, after Resume.
func Pause(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// Resume lets p go on.
func Resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// SurvivePipes has a write to a pipe that nobody reads any more fail, instead of ending this process.
func SurvivePipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// Forwarded are the signals that a wrapper passes on to what it wraps.
func Forwarded() []os.Signal {
	return []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2}
}

// FromKeyboard says whether a terminal sends sig to all who share its foreground.
func FromKeyboard(sig os.Signal) bool { return sig == syscall.SIGINT || sig == syscall.SIGQUIT }

// Terminate asks p to end, and with group all of its process group.
func Terminate(p *os.Process, group bool) error { return Signal(p, syscall.SIGTERM, group) }

// Kill ends p, and with group all of its process group.
func Kill(p *os.Process, group bool) error { return Signal(p, syscall.SIGKILL, group) }

// Signal sends sig to p, and with group to all of its process group.
func Signal(p *os.Process, sig os.Signal, group bool) error {
	if s, ok := sig.(syscall.Signal); ok && group {
		return syscall.Kill(-p.Pid, s)
	}
	return p.Signal(sig)
}

// Number is the signal's number.
func Number(sig os.Signal) int {
	if s, ok := sig.(syscall.Signal); ok {
		return int(s)
	}
	return 0
}
