package proc

import (
	"errors"
	"os"
	"syscall"
)

var errNoPause = errors.New("windows can't stop a process and resume it")

func setGroup(a *syscall.SysProcAttr) { a.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP }

// CanPause says whether processes can be stopped and resumed here.
const CanPause = false

// Pause can't be done here.
func Pause(*os.Process) error { return errNoPause }

// Resume can't be done here.
func Resume(*os.Process) error { return errNoPause }

// SurvivePipes does nothing: such writes fail here anyway.
func SurvivePipes() {}

// Forwarded are the signals that a wrapper passes on to what it wraps.
func Forwarded() []os.Signal { return []os.Signal{os.Interrupt} }

// FromKeyboard says whether a terminal sends sig to all who share its foreground.
func FromKeyboard(sig os.Signal) bool { return sig == os.Interrupt }

// Terminate ends p: here nobody can be asked to.
func Terminate(p *os.Process, _ bool) error { return p.Kill() }

// Kill ends p. What p has started goes on.
func Kill(p *os.Process, _ bool) error { return p.Kill() }

// Signal ends p: no other signal can be sent here.
func Signal(p *os.Process, _ os.Signal, _ bool) error { return p.Kill() }

// Number is the signal's number.
func Number(sig os.Signal) int {
	if s, ok := sig.(syscall.Signal); ok {
		return int(s)
	}
	return 0
}
