// Package proc starts and signals processes that must not outlive the one that started them.
package proc

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Own has cmd start in a process group of its own, which a terminal's Ctrl-C doesn't reach.
func Own(cmd *exec.Cmd) { setGroup(attr(cmd)) }

// Tie has the kernel kill cmd when this process dies, however it dies. Linux can; elsewhere nothing happens.
// Start cmd in a Thread.
func Tie(cmd *exec.Cmd) { dieWithParent(attr(cmd)) }

// Thread runs f on a thread that stays until f has returned: a tied process dies with the thread that started it.
func Thread(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f()
}

func attr(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	return cmd.SysProcAttr
}

// ExitCode is what a shell would call it: the process's own, or 128 and the number of the signal that it died by.
func ExitCode(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}
