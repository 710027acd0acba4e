//go:build !linux

package chaos

import (
	"errors"
	"os"
	"os/exec"
)

var errLinux = errors.New("the fault harness needs Linux")

func tie(*exec.Cmd) {}

func pause(*os.Process) error        { return errLinux }
func resume(*os.Process) error       { return errLinux }
func ask(*os.Process) error          { return errLinux }
func askForStacks(*os.Process) error { return errLinux }

type smallDisk struct{}

func mountSmall(string, int64) (*smallDisk, error) { return nil, errLinux }

func (*smallDisk) fill() error    { return errLinux }
func (*smallDisk) free() error    { return errLinux }
func (*smallDisk) unmount() error { return errLinux }

type throttle struct{}

func newThrottle(string) (*throttle, error) { return nil, errLinux }

func (*throttle) limit(int) error       { return errLinux }
func (*throttle) add(*os.Process) error { return errLinux }
func (*throttle) remove() error         { return errLinux }
