//go:build linux || darwin

package recipestest

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const canFreeze = true

// freeze returns when p stands still.
func freeze(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(p.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case !status.Stopped():
			return fmt.Errorf("it has ended: %d", status)
		default:
			return nil
		}
	}
}

func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
