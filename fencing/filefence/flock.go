//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filefence

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock on an open file, if nobody has it.
func tryLock(file *os.File) (free bool, err error) {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}
